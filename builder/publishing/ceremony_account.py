"""What a ceremony changes and who must sign it, for people and for machines: computed, never taken from a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from securesystemslib.signer import Key

from builder.publishing.before import Before
from builder.publishing.ceremony import Ceremony
from builder.publishing.holders import NOBODY, SHORT_ID_CHARS, owner_of
from builder.publishing.holdings import NOT_AMONG_KEYS, held_key
from builder.publishing.keys import KeyRing
from policy_core.trust.layout import format_time, oncall_role

_SAYS_WHO = ("root", "targets")


@dataclass(frozen=True, slots=True)
class KeyAccount:
    """A key: its id, its scheme, and whose it is (empty: a machine's)."""

    id: str
    scheme: str
    owner: str

    @property
    def name(self) -> str:
        """Return what people call it."""
        short = self.id[:SHORT_ID_CHARS]
        return f"{self.owner} ({short})" if self.owner else short


@dataclass(frozen=True, slots=True)
class HoldersAccount:
    """A role whose holders change; `was` is its threshold before, 0 if the role is new.

    `machines` are the keys without an owner where several must sign: each counts as much as a person's.
    """

    role: str
    added: tuple[KeyAccount, ...]
    removed: tuple[KeyAccount, ...]
    machines: tuple[KeyAccount, ...]
    was: int
    threshold: int


@dataclass(frozen=True, slots=True)
class FileAccount:
    """A role that gets a new file: its version now (0: none) and then, and until when it is good.

    `release` is what the file of a channel lists, or what that of an on-call role says; 0 if nothing.
    """

    role: str
    was: int
    version: int
    expires: str
    release: int


@dataclass(frozen=True, slots=True)
class SignaturesAccount:
    """Who must sign a role file, and who has; root has two of these, for its old and its new holders.

    `here` is the key that is here, empty if none of them is, and `source` is where it, or one that could not be
    compared, comes from; `note` says why, then.
    """

    role: str
    threshold: int
    keys: tuple[KeyAccount, ...]
    signed: tuple[KeyAccount, ...]
    here: str
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class CeremonyAccount:
    """What becomes of roles, and the signatures that takes.

    `signed_at` is when the store that it is held against was signed last, and `expires` how long that is good: an old
    store may be shown to somebody who is to sign. `completes` is the root of a change that was cut short, 0 if none.
    """

    signed_at: str
    expires: str
    holders: tuple[HoldersAccount, ...]
    files: tuple[FileAccount, ...]
    signatures: tuple[SignaturesAccount, ...]
    completes: int


def account_of(ceremony: Ceremony, key_ring: KeyRing) -> CeremonyAccount:
    """Return what a ceremony is about; no passphrase is asked for, and no service."""
    before, begun = ceremony.before, ceremony.before.begun
    holding = before.holding
    holders = []
    for role, after in ceremony.change.holders.items():
        held = holding.get(role, NOBODY)
        known, kept = {key.keyid for key in held.keys}, {key.keyid for key in after.keys}
        holders.append(
            HoldersAccount(
                role,
                added=_keys([key for key in after.keys if key.keyid not in known]),
                removed=_keys([key for key in held.keys if key.keyid not in kept]),
                machines=_keys([key for key in after.keys if after.threshold > 1 and not owner_of(key)]),
                was=held.threshold if role in holding else 0,
                threshold=after.threshold,
            )
        )
    files = [
        FileAccount(
            role, before.version(role), file.signed.version, format_time(file.signed.expires), _release(before, role)
        )
        for role, file in ceremony.document.roles.items()
    ]
    live = before.state.verified
    return CeremonyAccount(
        signed_at=format_time(live.signed_at),
        expires=format_time(live.expires["timestamp"]),
        holders=tuple(holders),
        files=tuple(files),
        signatures=tuple(_signatures(ceremony, key_ring)),
        completes=begun.signed.version if begun else 0,
    )


def describe(account: CeremonyAccount) -> Iterator[str]:
    """Yield the lines that tell a person what a ceremony changes, and who must sign."""
    yield f"store      signed at {account.signed_at}, good until {account.expires}"
    if account.completes:
        yield f"completes  root {account.completes}, which a change that was cut short has left in the store"
    for each in account.holders:
        said = ["new role"] if not each.was else []
        said += [f"adds {key.name}" for key in each.added] + [f"removes {key.name}" for key in each.removed]
        said += [f"threshold {each.was} to {each.threshold}"] if 0 < each.was != each.threshold else []
        yield f"keys       {each.role}: {', '.join(said)}"
        if each.machines:
            names = ", ".join(key.name for key in each.machines)
            yield f"note       {each.role}: keys without an owner count like people's: {names}"
    for file in account.files:
        versions = f"version {file.was} to {file.version}" if file.was else f"first version, {file.version}"
        if file.was and file.role not in _SAYS_WHO:
            versions += f", release {file.release} as before" if file.release else ", no release, as before"
        yield f"file       {file.role}: {versions}, expires {file.expires[:10]}"
    yield "file       snapshot, timestamp: signed when it becomes live"
    for wanted in account.signatures:
        so_far = f"; so far: {', '.join(key.name for key in wanted.signed)}" if wanted.signed else ""
        names = ", ".join(key.name for key in wanted.keys)
        known = wanted.note != NOT_AMONG_KEYS
        here = f"; here: {wanted.source}" if known and wanted.source else ""
        note = f" ({wanted.note})" if known and wanted.note else ""
        yield f"signed by  {wanted.role}: {wanted.threshold} of {names}{so_far}{here}{note}"


def _release(before: Before, role: str) -> int:
    for channel, state in before.states.items():
        said = state.verified.channel
        if role == channel and said.listed:
            return said.listed.release
        if role == oncall_role(channel) and said.oncall:
            return said.oncall.release
    return 0


def _signatures(ceremony: Ceremony, key_ring: KeyRing) -> Iterator[SignaturesAccount]:
    for role, several in ceremony.signers.items():
        signatures = ceremony.document.roles[role].signatures
        for holders in several:
            here, note = held_key(role, holders.keys, key_ring)
            yield SignaturesAccount(
                role,
                holders.threshold,
                keys=_keys(holders.keys),
                signed=_keys([key for key in holders.keys if key.keyid in signatures]),
                here=here,
                source=key_ring.source(role) if key_ring.has(role) else "",
                note=note,
            )


def _keys(keys: Sequence[Key]) -> tuple[KeyAccount, ...]:
    return tuple(KeyAccount(key.keyid, key.scheme, owner_of(key)) for key in keys)
