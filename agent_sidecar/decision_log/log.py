"""What decisions are written to before their answers leave.

What one turn of the event loop decides is written in one go at its end, as a `Batch`, and the replies are held back
until then; with durability ``host``, until it is on the disk. If it cannot be written, denials go out in their place,
and the log says how many once it can. What is in the log and could not be made durable is denied too, and a record of
type ``withheld`` says so.
"""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from agent_sidecar import logs
from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.decision_log.committing import GroupCommit
from agent_sidecar.decision_log.errors import SpoolError
from agent_sidecar.decision_log.records import DECISION, Asker, Decided, Moments, spell, spell_fields
from agent_sidecar.decision_log.scribe import MAX_REST_BYTES, Entry
from agent_sidecar.decision_log.settings import Durability, LogSettings, WhenFull
from agent_sidecar.decision_log.shipper import Shipper, ShippingStatus
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.durable import StateError
from agent_sidecar.history import moment

UNLOGGED, WITHHELD = b"unlogged", b"withheld"
SHIPPING_STOP_S = 5.0
"""How long an end waits for what is being shipped; the rest is shipped after the next start."""
MAX_BATCH_BYTES = 256 << 10
"""So much is written at once, in the middle of a turn: nothing grows with what arrives in one."""
MAX_WITHHELD = 10_000
"""So many withheld answers one record names: what was withheld at once always has room in the end."""
_REPORT_EVERY = 10_000  # denials between two warnings while nothing can be logged


class LogStatus(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The decision log: how sure it is, what it takes, and what could not be logged.

    `records` is the number of the newest record; `given_up` how many were deleted to make room. `denied` answers were
    deny because of the log since the process began, and `problem` is why. Of `left_out`, since then, the policy wants
    no record.
    """

    durability: Durability
    when_full: WhenFull | None = None
    bytes: int = 0
    max_bytes: int = 0
    records: int = 0
    given_up: int = 0
    denied: int = 0
    left_out: int = 0
    problem: str = ""
    shipping: ShippingStatus | None = None


class Log(Protocol):
    """What the decision API needs."""

    def write(self, decided: Decided, peer: Asker) -> Batch | None:
        """Take a decision to be written, and return what its reply waits for, None if it has to wait for nothing.

        Raises StateError, and then it will not be in the log.
        """
        ...

    def note(self, kind: str, fields: Mapping[str, object], *, told_as: str) -> Batch | None:
        """Take what is told under this id, and is no decision; as `write`."""
        ...

    def event(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write what happened that is no decision."""
        ...


class NoLog:
    """Durability ``off``: nothing is written."""

    def write(self, decided: Decided, peer: Asker) -> None:
        """Write nothing."""

    def note(self, kind: str, fields: Mapping[str, object], *, told_as: str) -> None:
        """Write nothing."""

    def event(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write nothing."""

    def status(self) -> LogStatus:
        """Return that there is none."""
        return LogStatus(durability=Durability.OFF)

    def start(self, loop: AbstractEventLoop) -> None:
        """Have nothing to start."""

    def tend(self) -> None:
        """Have nothing to tend."""

    def end(self) -> None:
        """Have nothing to end."""


def _in_this_loop(flush: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(flush)


class DecisionLog:
    """Writes decisions and events to a spool; `host` are the labels that policies see. `write` is for the event loop.

    `shipper` is for the process that owns the state directory, which alone tends the spool, too. `soon` is given what
    is to be called at the end of the present turn of the event loop.
    """

    def __init__(
        self,
        spool: Spool,
        settings: LogSettings,
        *,
        clock: Callable[[], float],
        host: Mapping[str, str],
        shipper: Shipper | None,
        soon: Callable[[Callable[[], None]], object] = _in_this_loop,
    ) -> None:
        self.spool = spool
        self._settings = settings
        self._clock = clock
        self._host = dict(host)
        self._shipper = shipper
        self._soon = soon
        self._moment = Moments()
        self._batch: Batch | None = None
        self._pending: tuple[Entry, ...] = ()
        self._denied = 0
        self._left_out = 0
        self._denied_in_all = 0
        self._denied_since = ""
        self._problem = ""
        self._committing: GroupCommit | None = None
        if settings.durability is Durability.HOST:
            self._committing = GroupCommit(spool, withheld=self.withhold)

    def write(self, decided: Decided, peer: Asker) -> Batch | None:
        """Take a decision to be written, and return what its reply waits for; None if the policy wants no record of it.

        Raises StateError, and then it will not be in the log.
        """
        spelt = spell(decided, peer, self._host)
        if spelt is None:
            self._left_out += 1
            return None
        return self._take((DECISION, self._moment(decided.now), spelt), decided.answer.decision_id)

    def note(self, kind: str, fields: Mapping[str, object], *, told_as: str) -> Batch:
        """Take what somebody is about to be told under this id that is no decision; return what that waits for.

        Raises StateError, and then it will not be in the log, and is no more to be told than a decision.
        """
        return self._take((kind.encode(), moment(self._clock()), spell_fields(fields)), told_as)

    def flush(self) -> None:
        """Write what was taken: all of it or nothing."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        entries = batch.take()
        try:
            position = self.spool.append(*self._untold(entries[0][1]), *entries)
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting, and nothing leaves unlogged
            self._deny(error if isinstance(error, StateError) else _bug(error), len(entries))
            batch.settle(is_durable=False)
            return
        self._note_told()
        if self._committing:
            self._committing.sync(position, batch)
        else:
            batch.settle(is_durable=True)

    def event(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write what happened to this host. A log that refuses is reported: what happened has happened."""
        try:
            self.spool.append((kind.encode(), moment(self._clock()), spell_fields(fields)))
        except StateError as error:
            logs.warning("decision_log_unwritable", reason=error.message, hint=error.hint, event_not_logged=kind)

    def withhold(self, decision_ids: list[str], error: StateError) -> None:
        """Say that these decisions, which are in the log, were not given as answers: the next records are that."""
        self._denied_in_all += len(decision_ids)
        self._report(error)
        if not decision_ids:  # they come to wait only now, and for another sync
            return
        now = moment(self._clock())
        for start in range(0, len(decision_ids), MAX_WITHHELD):
            named = {"decision_ids": decision_ids[start : start + MAX_WITHHELD], "reason": error.message}
            self._pending = (*self._pending, (WITHHELD, now, spell_fields(named)))

    def status(self) -> LogStatus:
        """Return how it goes."""
        return LogStatus(
            durability=self._settings.durability,
            when_full=self._settings.when_full,
            bytes=self.spool.used_bytes,
            max_bytes=self._settings.max_bytes,
            records=self.spool.last_seq,
            given_up=self.spool.shed_records,
            denied=self._denied_in_all,
            left_out=self._left_out,
            problem=self._problem,
            shipping=self._shipper.status() if self._shipper else None,
        )

    def start(self, loop: AbstractEventLoop) -> None:
        """Begin to sign and ship what is written, and to make records durable, if replies wait for that."""
        if self._shipper:
            self._shipper.start()
        if self._committing:
            self._committing.start(loop)

    def tend(self) -> None:
        """Sync, seal at the hour, count: once a second, in a thread. What goes wrong is logged once."""
        if self._shipper is None:
            return
        try:
            self.spool.tend()
            if not self._denied:
                self._problem = ""
        except StateError as error:
            self._report(error)

    def end(self) -> None:
        """End the threads, and leave the spool signed, on the disk, and shipped as far as the store takes it."""
        self.flush()
        self._tell_rest()
        if self._committing:
            self._committing.stop()
        if self._shipper is None:
            return
        self.event("stopped", {})
        self._shipper.stop(timeout_s=SHIPPING_STOP_S)
        try:
            self.spool.checkpoint()
            self.spool.tend()
        except StateError as error:
            self._report(error)

    def _take(self, entry: Entry, told_as: str) -> Batch:
        if len(entry[2]) > MAX_REST_BYTES:
            error = SpoolError(f"decision log: a record is too large (expected at most {MAX_REST_BYTES} bytes)")
            self._deny(error, 1)
            raise error
        batch = self._batch
        if batch is None:
            self._soon(self.flush)  # not before this call returns
            batch = self._batch = Batch()
        batch.add(entry, told_as)
        if batch.size > MAX_BATCH_BYTES:
            self.flush()
        return batch

    def _untold(self, ts: str) -> Sequence[Entry]:
        """Return what has not been written: which answers were withheld, and how many were denied unlogged.

        Of records of withheld answers it is the first one: nothing that is written in one go grows with their number.
        """
        if not self._denied:
            return self._pending[:1]
        told = {"count": self._denied, "since": self._denied_since, "reason": self._problem}
        return *self._pending[:1], (UNLOGGED, ts, spell_fields(told))

    def _note_told(self) -> None:
        """Note that what was untold is written."""
        if self._denied or self._pending:
            logs.info("decision_log_writable", denied=self._denied)
            self._pending, self._denied, self._problem = self._pending[1:], 0, ""

    def _tell_rest(self) -> None:
        """Write what is untold: there will be no decision to write it with."""
        while untold := self._untold(moment(self._clock())):
            try:
                self.spool.append(*untold)
            except StateError as error:
                self._report(error)
                return
            self._note_told()

    def _deny(self, error: StateError, count: int) -> None:
        if not self._denied:
            self._denied_since = moment(self._clock())
        is_due = self._denied // _REPORT_EVERY < (self._denied + count) // _REPORT_EVERY
        self._denied += count
        self._denied_in_all += count
        self._report(error, again=is_due)

    def _report(self, error: StateError, *, again: bool = False) -> None:
        if error.message != self._problem or again:
            logs.warning("decision_log_unwritable", reason=error.message, hint=error.hint, denied=self._denied)
        self._problem = error.message


def _bug(error: Exception) -> StateError:
    logs.bug("decisions_not_logged", error)
    return StateError(f"decision log: cannot be written: {type(error).__name__}")
