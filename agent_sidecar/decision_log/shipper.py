"""The thread that looks after what was written: signs it every minute, finishes segments, and ships them in order.

It runs in the process that owns the state directory, backs off when the store fails, and never gives up. A segment that
is refused for good does not hold up the others: it stays here, and is tried again now and then.
"""

import threading
import time
from collections.abc import Callable
from functools import partial

import msgspec

from agent_sidecar import logs
from agent_sidecar.decision_log.files import SEALED, numbers, sealed_path
from agent_sidecar.decision_log.shipping import Backlog, backlog, ship_segment
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.durable import StateError
from agent_sidecar.retrying import Retrying
from bundle_store.delivering import DifferentObjectError
from bundle_store.port import RecordsStore
from policy_core.decision_log.errors import LogError

CHECKPOINT_S = 60.0
REFUSED_AGAIN_S = 3_600.0


class ShippingStatus(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where the log goes ("": nowhere), how much of it is only here, and what is wrong.

    `refused` segments lie in the store with other content; `failures` are attempts that did not succeed.
    """

    to: str = ""
    waiting: Backlog = Backlog()
    shipped_segments: int = 0
    shipped_records: int = 0
    failures: int = 0
    refused: int = 0
    problem: str = ""


class Shipper:
    """Looks after a spool; `store` None ships nothing."""

    def __init__(
        self,
        spool: Spool,
        store: RecordsStore | None,
        *,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._store = store
        self._every_s = every_s
        self._clock = clock
        self._shipped_segments = self._shipped_records = 0
        self._shipping = Retrying("log_shipping")
        self._refused: dict[int, float] = {}
        self._not_signed = ""
        self._next_checkpoint = self._next_seal = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        now = self._clock()
        self._next_checkpoint, self._next_seal = now + CHECKPOINT_S, now + self._every_s
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """Sign and finish what there is, ship what can be shipped at once, and end, or be left behind."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def status(self) -> ShippingStatus:
        """Return how it goes. A spool that cannot be read shows as a problem."""
        problem = self._shipping.problem
        try:
            waiting = backlog(self._spool.directory, used_bytes=self._spool.used_bytes)
        except OSError as error:
            waiting, problem = Backlog(), f"the spool cannot be read: {error.strerror}"
        return ShippingStatus(
            to=self._store.url if self._store else "",
            waiting=waiting,
            shipped_segments=self._shipped_segments,
            shipped_records=self._shipped_records,
            failures=self._shipping.failures,
            refused=len(self._refused),
            problem=problem,
        )

    def turn(self) -> float:
        """Do what is due, and return the seconds until there may be more to do."""
        now = self._clock()
        if self._store and now >= self._next_seal and not self._waiting(now):  # small ones would pile up behind it
            self._next_seal = now + self._every_s
            self._write(self._finish_segment)
        if now >= self._next_checkpoint:
            self._next_checkpoint = now + CHECKPOINT_S
            self._write(self._spool.checkpoint)
        if self._store and self._shipping.attempt(partial(self._ship_oldest, self._store, now), now):
            return 0.0
        times = (self._next_checkpoint, self._next_seal, self._shipping.not_before)
        return min(time for time in times if time > now) - now

    def last_turn(self) -> None:
        """Sign and finish what there is, and ship it as far as the store takes it."""
        self._next_checkpoint = self._next_seal = self._clock()
        while not self.turn():
            pass

    def _run(self) -> None:
        while not self._stopping.wait(self._turn_safely(self.turn)):
            pass
        self._turn_safely(self.last_turn)

    def _turn_safely(self, turn: Callable[[], float | None]) -> float:
        try:
            return turn() or 0.0
        except Exception as error:  # noqa: BLE001 - thread boundary: a bug must not end the thread
            logs.bug("log_shipping_failed", error)
            return CHECKPOINT_S

    def _write(self, work: Callable[[], None]) -> None:
        """Append to the spool. A disk that refuses is logged once, shows in every decision, and is tried again."""
        try:
            work()
        except StateError as error:
            if error.message != self._not_signed:
                logs.warning("log_not_signed", reason=error.message, hint=error.hint)
            self._not_signed = error.message
        else:
            self._not_signed = ""

    def _finish_segment(self) -> None:
        self._spool.seal()
        self._spool.tend()

    def _waiting(self, now: float) -> list[int]:
        """Return the finished segments that are not refused, or were refused long ago; none if the disk fails."""
        try:
            found = numbers(self._spool.directory, SEALED)
        except OSError:  # the status says so
            return []
        self._refused = {number: again for number, again in self._refused.items() if number in found}
        return [number for number in found if self._refused.get(number, 0.0) <= now]

    def _ship_oldest(self, store: RecordsStore, now: float) -> bool:
        """Ship the oldest finished segment that is not refused, if there is one, and tell whether there was."""
        waiting = self._waiting(now)
        if not waiting:
            return False
        number = waiting[0]
        try:
            records = ship_segment(store, sealed_path(self._spool.directory, number))
        except (DifferentObjectError, LogError) as error:
            if number not in self._refused:
                logs.warning("log_segment_refused", segment=number, reason=error.message, hint=error.hint)
            self._refused[number] = now + REFUSED_AGAIN_S
        else:
            self._refused.pop(number, None)
            self._shipped_segments += 1
            self._shipped_records += records
        return True
