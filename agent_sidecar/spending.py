"""Grants this host has accepted: each is spent on disk before its answer leaves, and stays spent until it expires.

A grant is known by its key and its nonce. Where the disk refuses, the table is full, or the journal was found damaged,
nobody can tell whether a grant was used: it is refused.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from agent_sidecar.durable import StateError
from agent_sidecar.history import moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.journal import Journal
from agent_sidecar.state import HostTime
from policy_core.decision import GRANT_EXPIRED, GRANT_REPLAYED, GRANT_UNVERIFIABLE, RefusedGrant
from policy_core.grants import MAX_CLOCK_SKEW_S, MAX_EXPIRES_IN_S, USED, Grant
from policy_core.memory import ForgottenError

MAX_SPENT = 100_000


class Spent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A grant that is used up, and the host time from which on it would have expired anyway."""

    grant: str
    until: HostTime


class SpentGrants:
    """Which grants are spent; safe to use from any thread. `spend` waits for the disk."""

    def __init__(self, directory: Path, clock: HostClock, *, max_spent: int = MAX_SPENT) -> None:
        self._clock = clock
        self._max_spent = max_spent
        self._lock = threading.Lock()
        self._journal = Journal(directory, "grants", Spent, fold=_fold, unfold=_unfold)
        self._spent = self._journal.open(clock())
        clock.raise_to(self._journal.at)

    def __len__(self) -> int:
        """Return how many spent grants are remembered."""
        return len(self._spent)

    def is_spent(self, grant: Grant) -> bool:
        """Tell whether a grant was used on this host. Raises ForgottenError where that is not known any more."""
        forgot_at = self._journal.forgot_at
        if forgot_at is not None and grant.issued <= forgot_at + MAX_CLOCK_SKEW_S:
            raise ForgottenError(f"issued before {moment(forgot_at)}, when this host lost count of used grants")
        return name_of(grant) in self._spent

    def spend(self, grants: Sequence[Grant]) -> tuple[RefusedGrant, ...]:
        """Spend all of some grants, or none and return why: of two calls with one grant just one succeeds."""
        records = [Spent(name_of(grant), kept_until(grant)) for grant in grants]
        with self._lock:
            now = self._clock()
            refused = [
                RefusedGrant(number, GRANT_REPLAYED, USED)
                if record.grant in self._spent
                else RefusedGrant(number, GRANT_EXPIRED, "expired meanwhile")  # and is perhaps forgotten
                for number, record in enumerate(records)
                if record.grant in self._spent or record.until <= now
            ]
            if refused:
                return tuple(refused)
            try:
                self._make_room(len(records), now)
                self._journal.append(*records, durable=True)
            except StateError as error:
                return tuple(RefusedGrant(number, GRANT_UNVERIFIABLE, error.message) for number in range(len(records)))
            self._spent.update((record.grant, record.until) for record in records)
        return ()

    def _make_room(self, count: int, now: float) -> None:
        if len(self._spent) + count > self._max_spent:
            self._spent = _fold(_unfold(self._spent, now))
            if len(self._spent) + count > self._max_spent:
                raise StateError(f"grants: {len(self._spent)} used ones are remembered, and there is no room")

    def tend(self) -> None:
        """Keep the journal small. Raises StateError."""
        self._journal.tend(self._lock, self._clock())

    @property
    def journal_bytes(self) -> int:
        """Return how much of the disk the used grants take."""
        return self._journal.size_bytes

    @property
    def forgot_at(self) -> float | None:
        """Return when the journal was found damaged (host time), None if it never was."""
        return self._journal.forgot_at


def name_of(grant: Grant) -> str:
    """Return what tells a grant from all others: nobody can use up the nonce of another approver's."""
    return f"{grant.key}.{bytes.fromhex(grant.nonce).hex()}"


def kept_until(grant: Grant) -> float:
    """Return the host time from which on no rule accepts a grant."""
    return float(max(0, min(grant.expires, grant.issued + MAX_EXPIRES_IN_S)))


def _fold(records: Iterable[Spent]) -> dict[str, float]:
    return {record.grant: record.until for record in records}


def _unfold(spent: Mapping[str, float], now: float) -> Iterator[Spent]:
    return (Spent(name, until) for name, until in spent.items() if until > now)
