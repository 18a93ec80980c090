"""Changes of keys that several people sign: made, and checked when they come back as a file from one of them.

A ceremony file is a `Pending` document: role files as they will be published, with the signatures gathered so far.
Nothing in it is believed. What it changes is read from its role files and held against the verified live store; then
the same role files are made again, and any difference is refused. So a person signs what the command shows, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from builder.publishing import metadata
from builder.publishing.before import Before, Publishers, read_before
from builder.publishing.holders import Holders, HoldersError, holders_of, name_of, roles_held
from builder.publishing.key_changes import KeyChange, Wish, lifetime_of, make_role_files
from builder.publishing.pending import Pending, PendingError, StaleError, valid_signatures
from builder.publishing.publisher import MAX_CLOCK_DIFFERENCE, Publisher
from builder.publishing.writing import MAX_ORPHANS
from policy_core.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Missing:
    """Signatures that a role file still takes: `count` of those by `keys`."""

    role: str
    count: int
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A change that was checked against the live state `before`, and its role files with the signatures so far."""

    before: Before
    change: KeyChange
    document: Pending
    signers: Mapping[str, tuple[Holders, ...]]

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Return the signatures it still takes; root may be named twice, for its old and its new holders."""
        found = []
        for role, file in self.document.roles.items():
            for holders in self.signers[role]:
                absent = tuple(key for key in holders.keys if key.keyid not in file.signatures)
                count = holders.threshold - (len(holders.keys) - len(absent))
                if count > 0:
                    found.append(Missing(role, count, absent))
        return tuple(found)

    def candidates(self, role: str) -> tuple[Key, ...]:
        """Return the keys that may sign a role file, each once."""
        return tuple({key.keyid: key for holders in self.signers[role] for key in holders.keys}.values())


def propose(publishers: Publishers, before: Before, wish: Wish) -> Ceremony | None:
    """Return the ceremony of a change on top of a state, without signatures; None: there is nothing to change.

    Where a root waits for what follows it, it is the ceremony of that, whatever the wish. Raises HoldersError,
    PendingError if no command here has made that root, RemoteError, and what `wish` raises.
    """
    publisher, begun = _any(publishers), before.begun
    now = publisher.clock()
    change = _understood("the newest root", {Root.type: begun.signed}, before) if begun else wish(before)
    if change is None:
        return None
    made = make_role_files(
        before,
        change,
        version_of=lambda role: _free_version(publisher, before, role),
        expires_of=lambda role: begun.signed.expires if begun and role == Root.type else now + lifetime_of(role),
    )
    document = Pending({role: Metadata(file) for role, file in made.files.items()})
    return _with_begun_root(Ceremony(before, change, document, made.signers), "the newest root")


def check(document: Pending, before: Before, now: datetime, where: str) -> Ceremony:
    """Return the ceremony that a document holds, if a command here would have made the very same on top of a state.

    Raises PendingError, StaleError.
    """
    files = {role: file.signed for role, file in document.roles.items()}
    # 1. Made on top of what is live, and still of use?
    for role, file in files.items():
        _check_frame(where, role, file, before, now)
    # 2. What it changes, and the same made again.
    change = _understood(where, files, before)
    try:
        made = make_role_files(
            before,
            change,
            version_of=lambda role: files[role].version,
            expires_of=lambda role: files[role].expires,
        )
    except HoldersError as error:
        raise PendingError(f"{where}: {error.message}", hint=error.hint) from error
    except KeyError as error:
        raise StaleError(f"{where}: is stale: {error.args[0]} would have too few signatures") from error
    # 3. The very same, and only signatures that hold, by those who may.
    ordered = Pending({role: document.roles[role] for role in made.files})
    ceremony = Ceremony(before, change, ordered, made.signers)
    for role, signed in ordered.roles.items():
        if signed.signed_bytes != Metadata[Any](made.files[role]).signed_bytes:
            raise PendingError(f"{where}: {role} is not what `writ keys` would have made")
        valid_signatures(where, signed, ceremony.candidates(role))
    return _with_begun_root(ceremony, where)


def before_of(publishers: Publishers, document: Pending) -> Before:
    """Return what a document is to be checked against: also if its root is in the store already, but not the rest."""
    return read_before(publishers, document.roles.get(Root.type))


def describe_missing(missing: Missing) -> str:
    """Return *root: 1 of ana (…) or bo (…)*."""
    return f"{missing.role}: {missing.count} of {' or '.join(map(name_of, missing.keys))}"


def _with_begun_root(ceremony: Ceremony, where: str) -> Ceremony:
    """Return the ceremony with the root that is in the store already, which it must be about; raises PendingError."""
    begun, mine = ceremony.before.begun, ceremony.document.roles.get(Root.type)
    if begun is None:
        return ceremony
    if mine is None or mine.signed_bytes != begun.signed_bytes:
        raise PendingError(
            f"{where}: root {begun.signed.version} is in the store already, and is another",
            hint="it was written by a change that was cut short: complete that one first",
        )
    document = Pending({**ceremony.document.roles, Root.type: begun})
    return replace(ceremony, document=document)


def _check_frame(where: str, role: str, file: Root | Targets, before: Before, now: datetime) -> None:
    """Check what a role file follows, its number, which is to leave room for later ones, and its life."""
    live, data = before.version(role), before.data(role)
    if file.unrecognized_fields.get(metadata.BASE) != (metadata.base_of(live, data) if data else None):
        raise StaleError(f"{where}: is stale: {role} has changed since it was made")
    if type(file.version) is not int or not live < file.version <= live + (1 if role == Root.type else MAX_ORPHANS):
        raise PendingError(f"{where}: {role} has version {file.version}, but {live} is live")
    if file.expires <= now:
        raise StaleError(f"{where}: is stale: {role} would have expired on {file.expires:%Y-%m-%d}")
    if file.expires > now + lifetime_of(role) + MAX_CLOCK_DIFFERENCE:
        raise PendingError(f"{where}: {role} would be valid until {file.expires:%Y-%m-%d}, which is too long")


def _understood(where: str, files: Mapping[str, Root | Targets], before: Before) -> KeyChange:
    """Return the change of holders that role files, made on top of a state, say."""
    holders: dict[str, Holders] = {}
    for delegator, there in ((Root.type, Root), (Targets.type, Targets)):
        file = files.get(delegator)
        if file is None:
            continue
        if not isinstance(file, there):
            raise PendingError(f"{where}: {delegator} is of another type")
        try:
            found = _holding_of(file)
        except (ValueError, KeyError) as error:
            raise PendingError(f"{where}: {delegator} names keys that it does not hold") from error
        live = _holding_of(before.state.root if isinstance(file, Root) else before.state.targets)
        if gone := live.keys() - found.keys():
            raise PendingError(f"{where}: takes away {', '.join(sorted(gone))}")
        holders |= {role: held for role, held in found.items() if held != live.get(role)}
    return KeyChange(holders, renewed=frozenset(files))


def _holding_of(delegator: Root | Targets) -> dict[str, Holders]:
    return {role: holders_of(delegator, role) for role in roles_held(delegator)}


def _free_version(publisher: Publisher, before: Before, role: str) -> int:
    """Return the next number of a role that nothing lies under; only those of root leave no room for orphans."""
    first = before.version(role) + 1
    if role == Root.type:
        return first
    for version in range(first, first + MAX_ORPHANS):
        if not publisher.reader.is_taken(role, version):
            return version
    raise ConflictError(f"{publisher.store.url}: {MAX_ORPHANS} numbers of {role} are taken")


def _any(publishers: Publishers) -> Publisher:
    return next(iter(publishers.values()))
