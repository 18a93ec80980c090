"""Ceremonies are signed with the keys at hand, and made live once they have all their signatures."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Targets

from builder.publishing.before import Publishers, read_before
from builder.publishing.ceremony import Ceremony, before_of, check, describe_missing, propose
from builder.publishing.holders import SHORT_ID_CHARS
from builder.publishing.key_changes import Wish
from builder.publishing.keys import KeyRing, NotAmongKeysError
from builder.publishing.pending import (
    Pending,
    SignedAlreadyError,
    StaleError,
    UnderSignedError,
)
from builder.publishing.private_keys import KeyMissingError
from builder.publishing.publisher import Publisher
from builder.publishing.transaction import Change, NumberTakenError, make_live, put_signed
from builder.publishing.writing import RaceLostError, attempts
from policy_core.trust import layout


@dataclass(frozen=True, slots=True)
class Signed:
    """A ceremony after signing: which key signed which role now, and why the key at hand for others did not."""

    ceremony: Ceremony
    added: Mapping[str, Key]
    refused: Mapping[str, str]


def sign(ceremony: Ceremony, key_ring: KeyRing) -> Signed:
    """Add what the keys at hand can sign.

    Raises KeyUnusableError for a key that is there and cannot be read, SigningError.
    """
    document, added, refused = ceremony.document, {}, {}
    for role, file in ceremony.document.roles.items():
        open_to = {key.keyid: key for key in ceremony.candidates(role) if key.keyid not in file.signatures}
        if open_to and key_ring.has(role):
            try:
                signature = key_ring.signature(role, file.signed_bytes, tuple(open_to.values()))
            except NotAmongKeysError as error:
                refused[role] = error.message
                continue
            document = document.signed_with(role, signature)
            added[role] = open_to[signature.keyid]
    return Signed(replace(ceremony, document=document), added, refused)


def sign_or_refuse(ceremony: Ceremony, key_ring: KeyRing) -> Signed:
    """Add what the keys at hand can sign, which must be something.

    Raises SignedAlreadyError if the key at hand is among the signatures, KeyMissingError if it may sign nothing.
    """
    signed = sign(ceremony, key_ring)
    if signed.added:
        return signed
    for role, file in ceremony.document.roles.items():
        done = [key for key in ceremony.candidates(role) if key.keyid in file.signatures]
        if done and key_ring.has(role):
            with contextlib.suppress(NotAmongKeysError):
                keyid = key_ring.signature(role, file.signed_bytes, done).keyid
                raise SignedAlreadyError(f"role {role}: key {keyid[:SHORT_ID_CHARS]} has signed this already")
    reason = next(iter(signed.refused.values()), f"no key here may sign for {', '.join(ceremony.document.roles)}")
    raise KeyMissingError(reason, hint="name yours with --signer URI, or in WRIT_SIGNER_<ROLE>")


def carry_out(publishers: Publishers, ceremony: Ceremony) -> None:
    """Make a ceremony live if it has all its signatures.

    Raises UnderSignedError, RaceLostError if the live state is another by now, TrustError, RemoteError.
    """
    publisher, before = _any(publishers), ceremony.before
    if ceremony.missing:
        raise UnderSignedError(_missing(ceremony), hint="`writ keys sign FILE` adds one, where the key is")
    for role in ("snapshot", "timestamp"):
        if not publisher.key_ring.has(role):
            raise KeyMissingError(
                f"role {role}: no key at {publisher.key_ring.source(role)}",
                hint="run it where releases are published: it is signed there once more",
            )
    files = {role: signed for role, signed in ceremony.document.roles.items() if role != Root.type}
    pins = {role: put_signed(publisher, role, signed, ceremony.signers[role]) for role, signed in files.items()}
    releases = {channel: state.verified.release for channel, state in before.states.items()}
    new = {role: None for role in pins if layout.is_channel(role) and role != Targets.type and role not in releases}
    root = ceremony.document.roles[Root.type].to_bytes() if Root.type in ceremony.document.roles else b""
    root = before.begun_bytes or root  # which says the same, but may be spelled otherwise
    make_live(publisher, before.states, Change(pins, releases | new, root, renew_snapshot=True))


def apply(publishers: Publishers, document: Pending, where: str) -> Ceremony:
    """Make a ceremony file live, again on top of what others made live meanwhile if that leaves it what it is.

    Raises as `check` and `carry_out`, and ConflictError after too many lost races.
    """
    publisher = _any(publishers)
    for _ in attempts(publisher.store.url):
        ceremony = check(document, before_of(publishers, document), publisher.clock(), where)
        try:
            carry_out(publishers, ceremony)
        except RaceLostError:
            continue
        except NumberTakenError:  # by what is live now, or by somebody who died
            check(document, before_of(publishers, document), publisher.clock(), where)
            raise
        return ceremony
    raise AssertionError  # `attempts` raises


def change_keys(publishers: Publishers, wish: Wish) -> Ceremony | None:
    """Sign what is wished with the keys here alone, and make it live; None: there was nothing to change.

    Raises HoldersError, KeyMissingError before anything is written, ConflictError, TrustError, RemoteError, and what
    `wish` raises.
    """
    publisher = _any(publishers)
    begun: Pending | None = None
    for _ in attempts(publisher.store.url):
        ceremony = _resumed(publishers, begun) or _signed(publishers, wish)
        if ceremony is None:
            return None
        try:
            carry_out(publishers, ceremony)
        except RaceLostError:
            begun = ceremony.document
        except NumberTakenError:
            begun = None
        else:
            return ceremony
    raise AssertionError  # `attempts` raises


def _resumed(publishers: Publishers, document: Pending | None) -> Ceremony | None:
    """Return the ceremony of an attempt that lost its race, None if it has to be made anew."""
    if document is not None:
        with contextlib.suppress(StaleError):
            return check(document, before_of(publishers, document), _any(publishers).clock(), "this change")
    return None


def _signed(publishers: Publishers, wish: Wish) -> Ceremony | None:
    proposed = propose(publishers, read_before(publishers), wish)
    if proposed is None:
        return None
    signed = sign(proposed, _any(publishers).key_ring)
    if signed.ceremony.missing:
        why = "; ".join([_missing(signed.ceremony), *signed.refused.values()])
        raise KeyMissingError(why, hint="-o FILE writes a ceremony file for others to sign")
    return signed.ceremony


def _missing(ceremony: Ceremony) -> str:
    return "signatures are missing: " + ", ".join(map(describe_missing, ceremony.missing))


def _any(publishers: Publishers) -> Publisher:
    return next(iter(publishers.values()))
