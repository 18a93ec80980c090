"""Role files that wait for signatures: pending documents in the store, and ceremony files carried by hand.

A document holds role files exactly as they will be published, but for signatures that are missing. Each of them signs
which file it follows (`BASE`), so a document made on top of a state that is no longer live is known to be stale,
whatever else was done meanwhile. Whoever may write a document can make it useless, and nothing more.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from securesystemslib.signer import Key, Signature
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from builder.publishing import metadata
from builder.publishing.expiry import RENEW_BEFORE
from builder.publishing.publisher import Publisher
from builder.publishing.state import ChannelReader, LiveState
from builder.publishing.writing import MAX_ORPHANS, attempts, put_immutable
from bundle_store.client import read_signed
from bundle_store.port import ObjectNotFoundError, StoredObject
from policy_core.errors import ConflictError, TrustError
from policy_core.trust import layout
from policy_core.trust.errors import MetadataError
from policy_core.trust.oncall import selectable_of
from policy_core.trust.release import Release

SCHEMA = 1


class PendingError(TrustError):
    """A pending document is not what it should be: nobody should sign it."""

    default_hint = "somebody else wrote it, or changed it: find out who writes to the store, then propose again"


class StaleError(ConflictError):
    """A pending document was made on top of what is no longer live."""

    default_hint = "propose the change again: it is made on top of what is live now"


class UnderSignedError(ConflictError):
    """A document does not have all the signatures it takes."""


class SignedAlreadyError(ConflictError):
    """This key has signed the document; nobody counts twice."""

    default_hint = "somebody else has to sign, with a key of their own"


@dataclass(frozen=True, slots=True)
class Pending:
    """Role files by role name, each with the signatures gathered so far."""

    roles: Mapping[str, Metadata[Any]]

    def to_bytes(self) -> bytes:
        """Return the document."""
        roles = {name: role.to_dict() for name, role in self.roles.items()}
        return json.dumps({"schema": SCHEMA, "roles": roles}, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "Pending":
        """Read a document, nothing of which is verified; `where` names it in messages. Raises PendingError."""
        try:
            found = json.loads(
                data, object_pairs_hook=_without_duplicates, parse_float=_no_number, parse_constant=_no_number
            )
            if found.keys() != {"schema", "roles"} or found["schema"] != SCHEMA:
                raise PendingError(f"{where}: is no pending document of schema {SCHEMA}")
            roles = {str(name): Metadata.from_dict(role) for name, role in found["roles"].items()}
            for role in roles.values():
                _ = role.signed_bytes  # half a surrogate pair has no bytes that could be signed
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RepositoryError) as error:
            raise PendingError(f"{where}: is no pending document ({type(error).__name__})") from error
        if not roles or not all(map(_is_role_file, roles.items())):
            raise PendingError(f"{where}: is no pending document: it has no roles, or roles of another form")
        if not all(isinstance(role.signed, Root | Targets) for role in roles.values()):
            raise PendingError(f"{where}: holds roles that people do not sign")
        return cls(roles)

    def signed_with(self, role: str, signature: Signature) -> "Pending":
        """Return the document with one more signature."""
        before = self.roles[role]
        signatures = {**before.signatures, signature.keyid: signature}
        return replace(self, roles={**self.roles, role: Metadata(before.signed, signatures)})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pending document of a channel that was checked: what it would release, and who has signed it.

    `etag` is of the document.
    """

    version: int
    pending: Pending
    etag: str
    release: Release
    signed: tuple[Key, ...]
    threshold: int

    @property
    def is_complete(self) -> bool:
        """Tell whether it has all the signatures it takes."""
        return len(self.signed) >= self.threshold


def write_pending(publisher: Publisher, state: LiveState, release: Release) -> int:
    """Leave `release` for people to sign and return the number of the document; the newest one, if it says the same.

    What nobody could sign, or make live, is stepped over, whoever put it there. Raises ConflictError after too many
    documents or lost races, RemoteError.
    """
    reader, channel = publisher.reader, publisher.channel
    for _ in attempts(publisher.store.url):
        newest, free = _newest(reader, state)
        if newest is not None and not reader.is_taken(channel, newest[0]):
            with contextlib.suppress(PendingError, StaleError):
                if _read(channel, state, *newest).release == release:
                    return newest[0]
        role = _expected(state, channel, free, release, publisher.signing_time(state) + metadata.CHANNEL_LIFETIME)
        document = Pending({channel: Metadata(role)})
        if put_immutable(publisher.store, layout.pending_object(channel, free), document.to_bytes()):
            return free
    raise AssertionError  # `attempts` raises


def find_pending(reader: ChannelReader, state: LiveState) -> Waiting | None:
    """Return the newest pending document of the channel, checked, None if there is none above what is live.

    Raises PendingError, StaleError, ConflictError after too many documents, RemoteError.
    """
    newest, _ = _newest(reader, state)
    return _read(reader.channel, state, *newest) if newest else None


def check_pending(channel: str, state: LiveState, version: int, pending: Pending, etag: str) -> Waiting:
    """Return what a pending document of a channel is about.

    It must be exactly what a publisher would propose on top of the live `state`, but for its expiry, and every
    signature in it must hold. Raises PendingError, StaleError.
    """
    where = layout.pending_object(channel, version)
    metadata_file = pending.roles.get(channel)
    if set(pending.roles) != {channel} or metadata_file is None or not isinstance(metadata_file.signed, Targets):
        raise PendingError(f"{where}: is not about the role of {channel}")
    role, said = metadata_file.signed, state.verified.channel
    if role.unrecognized_fields.get(metadata.BASE) != metadata.base_of(
        state.verified.versions[channel], state.chain.channel
    ):
        raise StaleError(f"{where}: is stale: {channel} has changed since it was proposed")
    release = _release(where, channel, role)
    expected = (said.release.release if said.release else 0) + 1
    if release.release != expected:
        raise StaleError(f"{where}: is stale: it is release {release.release}, but the next one is {expected}")
    if role.expires < state.verified.signed_at + RENEW_BEFORE:
        raise StaleError(f"{where}: is stale: it would be valid until {role.expires:%Y-%m-%d} only")
    if role.expires > state.verified.signed_at + 2 * metadata.CHANNEL_LIFETIME:
        raise PendingError(f"{where}: would be valid until {role.expires:%Y-%m-%d}, which is too long")
    if role.to_dict() != _expected(state, channel, version, release, role.expires).to_dict():
        raise PendingError(f"{where}: is not what a publisher would propose")
    signed = valid_signatures(where, metadata_file, state.keys(channel))
    return Waiting(version, pending, etag, release, signed, state.threshold(channel))


def valid_signatures(where: str, signed: Metadata[Any], keys: Sequence[Key]) -> tuple[Key, ...]:
    """Return the keys whose signatures are there; raises PendingError for one that does not hold, or by a stranger."""
    known = {key.keyid: key for key in keys}
    for keyid, signature in signed.signatures.items():
        try:
            known[keyid].verify_signature(signature, signed.signed_bytes)
        except KeyError as error:
            raise PendingError(f"{where}: is signed by key {keyid[:12]}, which may not sign it") from error
        except Exception as error:  # securesystemslib lets several kinds through
            raise PendingError(f"{where}: the signature of key {keyid[:12]} does not hold") from error
    return tuple(known[keyid] for keyid in signed.signatures)


def _expected(state: LiveState, channel: str, version: int, release: Release, expires: datetime) -> Targets:
    """Return the role that a publisher proposes on top of a state."""
    role = metadata.channel_role(version, release, state.verified.channel, expires - metadata.CHANNEL_LIFETIME)
    role.unrecognized_fields[metadata.BASE] = metadata.base_of(state.verified.versions[channel], state.chain.channel)
    return role


def _release(where: str, channel: str, role: Targets) -> Release:
    targets = list(role.targets.values())
    if len(targets) != 1:
        raise PendingError(f"{where}: lists {len(targets)} targets (expected one)")
    try:
        return selectable_of(channel, targets[0])[0]
    except MetadataError as error:
        raise PendingError(f"{where}: {error.message}") from error


def _newest(reader: ChannelReader, state: LiveState) -> tuple[tuple[int, StoredObject] | None, int]:
    """Return the newest document above what is live, with its number, and the first free number after it.

    Raises ConflictError after too many documents, RemoteError.
    """
    newest: tuple[int, StoredObject] | None = None
    first = state.verified.versions[reader.channel] + 1
    for version in range(first, first + MAX_ORPHANS):
        try:
            name = layout.pending_object(reader.channel, version)
            newest = version, read_signed(reader.store, name, max_bytes=layout.MAX_PENDING_BYTES)
        except ObjectNotFoundError:
            if not reader.is_taken(reader.channel, version):
                return newest, version
        except MetadataError:  # too long to be one
            newest = version, StoredObject(b"", etag="")
    raise ConflictError(f"{reader.store.url}: {MAX_ORPHANS} pending documents of {reader.channel} are in the way")


def _read(channel: str, state: LiveState, version: int, stored: StoredObject) -> Waiting:
    pending = Pending.from_bytes(stored.body, layout.pending_object(channel, version))
    return check_pending(channel, state, version, pending, stored.etag)


def _is_role_file(named: tuple[str, Metadata[Any]]) -> bool:
    """Tell whether a role can have that name, and its file holds nothing beside what is signed, and signatures."""
    name, file = named
    return (name in layout.TOP_LEVEL_ROLES or layout.is_channel(name) or layout.is_oncall(name)) and not (
        file.unrecognized_fields
        or any(each.unrecognized_fields or not _is_signature(each) for each in file.signatures.values())
    )


def _is_signature(signature: Signature) -> bool:
    texts: tuple[Any, ...] = (signature.keyid, signature.signature)
    return all(isinstance(text, str) and text.isascii() and text.isalnum() for text in texts)


def _no_number(text: str) -> float:
    raise ValueError(f"{text}: is no whole number")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
