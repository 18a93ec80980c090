"""The committed history of a repository, walked back from verified snapshot metadata. Pure: the caller fetches.

Each snapshot role file names its predecessor by version and digest, so the live one vouches for all before it, and the
orphans of lost races, which lie in the store under numbers of their own, are never mistaken for history. Each channel
role file met on the way is verified against the delegation of its own time: who holds just the snapshot key cannot
invent a release.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Key, MetaFile, Root, Snapshot, Targets

from policy_core.trust import layout
from policy_core.trust.chain import (
    ChannelState,
    MetadataChain,
    channel_state,
    check_pin,
    decode,
    has_oncall,
    pinned,
    signed_by,
    verify_delegated,
    verify_role,
    verify_roots,
)
from policy_core.trust.errors import MetadataError
from policy_core.trust.oncall import Emergency, OncallDocument
from policy_core.trust.release import Release

Fetch = Callable[[str], bytes]
"""Returns the bytes of a metadata object, by object name."""


@dataclass(frozen=True, slots=True)
class CommittedState:
    """One snapshot role file that once was live; `sha256` is of its bytes, `signed_at` its signed time."""

    snapshot: Snapshot
    sha256: str
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """From `signed_at` on, `release` was live in the channel (None: the channel existed, without a release).

    `keys` are the public keys that might sign its provenance: those of the channel then, and those of publishers, who
    seal it where people sign for the channel. `approved_by` are the people, sorted, who did sign what made this
    release, and `emergency` the entries that it brought along.
    """

    release: Release | None
    signed_at: datetime
    keys: tuple[Key, ...]
    approved_by: tuple[str, ...] = ()
    emergency: tuple[Emergency, ...] = ()


def walk_history(snapshot: bytes, fetch: Fetch) -> Iterator[CommittedState]:
    """Yield the committed states, newest first; `snapshot` is the verified live one, the others are fetched lazily.

    Raises MetadataError where the chain of digests breaks or goes back in time, and what `fetch` raises.
    """
    state = _committed(snapshot)
    yield state
    while (previous := state.snapshot.unrecognized_fields.get(layout.PREVIOUS)) is not None:
        version, sha256 = _previous(previous, state)
        older = _committed(fetch(layout.metadata_name(Snapshot.type, version)))
        if older.sha256 != sha256 or older.snapshot.version != version:
            raise MetadataError(f"history: snapshot {version} is not the one its successor names")
        _check_order(older, state)
        yield older
        state = older


def channel_history(chain: MetadataChain, *, trusted_root: bytes, channel: str, fetch: Fetch) -> Iterator[HistoryEntry]:
    """Yield the releases of a channel, newest first, ending with the entry from which the channel existed.

    `chain` is verified already. States are fetched only as far as the caller iterates. A channel role that was merely
    signed anew (a renewal) is no release. Raises MetadataError, also for release numbers that do not rise, and for an
    on-call document that came, changed or went without a release: else entries could be lifted unseen.
    """
    verifier = _ChannelVerifier(channel, verify_roots(chain.roots, trusted_root=trusted_root), fetch)
    entry: HistoryEntry | None = None
    said: OncallDocument | None = None
    for state in walk_history(chain.snapshot, fetch):
        if f"{channel}.json" not in state.snapshot.meta:
            break  # the channel was added later
        older, said_before = verifier.entry(state)
        if entry is not None and said != said_before:
            _check_document(channel, said, older.release, entry.release)
        if entry is not None and older.release != entry.release:
            _check_step(channel, older.release, entry.release)
            yield entry
        entry, said = older, said_before
    if entry is None:
        raise MetadataError(f"channel {channel}: the snapshot role does not list it")
    if entry.release is not None:
        raise MetadataError(f"history of {channel}: begins with release {entry.release.release} (expected none)")
    yield entry


class _ChannelVerifier:
    """Verifies channel role files of the past, each against the targets metadata pinned beside it."""

    def __init__(self, channel: str, roots: Sequence[Root], fetch: Fetch) -> None:
        self._channel = channel
        self._roots = roots
        self._fetch = fetch
        self._targets: dict[int, Targets] = {}
        self._seen_pins: tuple[int, Mapping[str, MetaFile]] = (0, {})
        self._seen: tuple[ChannelState, tuple[str, ...]]

    def entry(self, state: CommittedState) -> tuple[HistoryEntry, OncallDocument | None]:
        """Return what was live in a state, and what people on call had said last.

        It reads only what the states seen before did not share with it.
        """
        targets = self._targets_of(pinned(state.snapshot, Targets.type))
        names = [self._channel]
        if has_oncall(targets, self._channel):
            names.append(layout.oncall_role(self._channel))
        pins = {name: pinned(state.snapshot, name) for name in names}
        if (targets.version, pins) != self._seen_pins:
            self._seen_pins, self._seen = (targets.version, pins), self._read(targets, pins)
        said, approved_by = self._seen
        emergency = said.emergency if said.release != said.listed else ()
        return HistoryEntry(said.release, state.signed_at, self._keys(targets), approved_by, emergency), said.oncall

    def _read(self, targets: Targets, pins: Mapping[str, MetaFile]) -> tuple[ChannelState, tuple[str, ...]]:
        """Return what the pinned roles say, and who signed the one that made it so."""
        files = {name: self._fetch(layout.metadata_name(name, pin.version)) for name, pin in pins.items()}
        roles = {name: verify_delegated(files[name], targets, name, pin=pin) for name, pin in pins.items()}
        said = channel_state(self._channel, roles)
        maker = self._channel if said.release == said.listed else layout.oncall_role(self._channel)
        return said, signed_by(files[maker], targets, maker)

    def _keys(self, targets: Targets) -> tuple[Key, ...]:
        try:
            role = targets.get_delegated_role(self._channel)
            return (
                *(targets.get_key(keyid) for keyid in role.keyids),
                *(root.get_key(keyid) for root in self._roots for keyid in root.roles[Snapshot.type].keyids),
            )
        except ValueError as error:
            raise MetadataError(f"history: targets {targets.version} does not delegate {self._channel}") from error

    def _targets_of(self, pin: MetaFile) -> Targets:
        """Return the pinned targets role, signed by the keys that any of the verified roots gave it."""
        known = self._targets.get(pin.version)
        if known is not None:
            return known
        data = self._fetch(layout.metadata_name(Targets.type, pin.version))
        check_pin(Targets.type, data, decode(data, Targets, limit=layout.MAX_TARGETS_BYTES).signed.version, pin)
        problem: MetadataError | None = None
        for root in reversed(self._roots):
            try:
                targets = verify_role(data, Targets, root, limit=layout.MAX_TARGETS_BYTES)
            except MetadataError as error:
                problem = error
            else:
                return self._targets.setdefault(pin.version, targets)
        raise MetadataError(f"history: targets {pin.version} is signed by no root's keys") from problem


def _committed(data: bytes) -> CommittedState:
    snapshot = decode(data, Snapshot, limit=layout.MAX_SNAPSHOT_BYTES).signed
    signed_at = layout.parse_time(snapshot.unrecognized_fields.get(layout.SIGNED_AT))
    return CommittedState(snapshot, hashlib.sha256(data).hexdigest(), signed_at)


def _previous(previous: object, state: CommittedState) -> tuple[int, str]:
    version = previous.get("version") if isinstance(previous, Mapping) else None
    sha256 = previous.get("sha256") if isinstance(previous, Mapping) else None
    if type(version) is not int or not isinstance(sha256, str) or not 0 < version < state.snapshot.version:
        raise MetadataError(f"history: snapshot {state.snapshot.version} has a bad {layout.PREVIOUS}")
    return version, sha256


def _check_order(older: CommittedState, newer: CommittedState) -> None:
    where = f"history: snapshot {newer.snapshot.version}"
    if older.signed_at > newer.signed_at:
        raise MetadataError(f"{where} was signed before its predecessor")
    for name, pin in older.snapshot.meta.items():
        successor = newer.snapshot.meta.get(name)
        if successor is None or successor.version < pin.version:
            raise MetadataError(f"{where} drops or goes back in {name}")


def _check_document(channel: str, said: OncallDocument | None, older: Release | None, newer: Release | None) -> None:
    """Raise MetadataError unless a document that was not there before is what made the newer release."""
    if said is None or newer is None or newer == older or said.release != newer.release:
        number = newer.release if newer else 0
        raise MetadataError(
            f"history of {channel}: the on-call role changed beside release {number}, without one of its own"
        )


def check_numbers(history: Sequence[HistoryEntry], channel: str) -> None:
    """Raise MetadataError unless the releases of a history, newest first, are numbered without a gap.

    Whoever had the keys may have left one for good. What was live is known all the same, and must remain usable: so it
    is the auditor who asks for this, not the publisher who has to go on.
    """
    numbers = [entry.release.release if entry.release else 0 for entry in history]
    for newer, older in itertools.pairwise(numbers):
        if newer != older + 1:
            raise _misnumbered(channel, older, newer)


def _check_step(channel: str, older: Release | None, newer: Release | None) -> None:
    before = older.release if older else 0
    if newer is None or newer.release <= before:
        raise _misnumbered(channel, before, newer.release if newer else "none")


def _misnumbered(channel: str, older: int, found: int | str) -> MetadataError:
    return MetadataError(f"history of {channel}: release {found} follows {older} (expected {older + 1})")
