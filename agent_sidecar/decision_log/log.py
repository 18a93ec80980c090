"""What decisions are written to before their answers leave.

A record is in the spool when `write` returns. With durability ``host`` the reply is also held back until the record is
on the disk: `durable` is how far that is, and `wait` calls back. A reply that could not be made durable is not sent; a
denial goes out in its place, and a record of type ``withheld`` says so.
"""

import math
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import msgspec

from agent_sidecar import logs
from agent_sidecar.decision_log.committing import GroupCommit, Told
from agent_sidecar.decision_log.records import DECISION, Asker, Decided, Moments, spell, spell_fields
from agent_sidecar.decision_log.scribe import Entry
from agent_sidecar.decision_log.settings import Durability, LogSettings, WhenFull
from agent_sidecar.decision_log.shipper import Shipper, ShippingStatus
from agent_sidecar.decision_log.spool import Spool
from agent_sidecar.durable import StateError
from agent_sidecar.history import moment

UNLOGGED, WITHHELD = b"unlogged", b"withheld"
SHIPPING_STOP_S = 5.0
"""How long an end waits for what is being shipped; the rest is shipped after the next start."""
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

    durable: float

    def write(self, decided: Decided, peer: Asker) -> int:
        """Write a decision and return its position. Raises StateError, and then it is not in the log."""
        ...

    def wait(self, position: int, decision_id: str, told: Told) -> None:
        """Call back once `durable` is `position` or more, or that is known to fail."""
        ...

    def note(self, kind: str, fields: Mapping[str, object]) -> int:
        """Write what is told that is no decision; as `write`."""
        ...

    def event(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write what happened that is no decision."""
        ...


class NoLog:
    """Durability ``off``: nothing is written."""

    durable = math.inf

    def write(self, decided: Decided, peer: Asker) -> int:  # noqa: ARG002 - the port's signature
        """Write nothing."""
        return 0

    def wait(self, position: int, decision_id: str, told: Told) -> None:  # noqa: ARG002 - the port's signature
        """Call back at once."""
        told(True)

    def note(self, kind: str, fields: Mapping[str, object]) -> int:  # noqa: ARG002 - the port's signature
        """Write nothing."""
        return 0

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


class DecisionLog:
    """Writes decisions and events to a spool; `host` are the labels that policies see. `write` is for the event loop.

    `shipper` is for the process that owns the state directory, which alone tends the spool, too.
    """

    def __init__(
        self,
        spool: Spool,
        settings: LogSettings,
        *,
        clock: Callable[[], float],
        host: Mapping[str, str],
        shipper: Shipper | None,
    ) -> None:
        self.spool = spool
        self.durable: float = math.inf
        self._settings = settings
        self._clock = clock
        self._host = dict(host)
        self._shipper = shipper
        self._moment = Moments()
        self._append = spool.append
        self._pending: tuple[Entry, ...] = ()
        self._denied = 0
        self._left_out = 0
        self._denied_in_all = 0
        self._denied_since = ""
        self._problem = ""
        self._committing: GroupCommit | None = None
        if settings.durability is Durability.HOST:
            self.durable = 0.0  # also before the thread starts: connections may be accepted earlier
            self._committing = GroupCommit(spool, synced=partial(setattr, self, "durable"), withheld=self.withhold)

    def write(self, decided: Decided, peer: Asker) -> int:
        """Write a decision and return its position, 0 if the policy wants no record of it.

        Raises StateError, and then it is not in the log.
        """
        spelt = spell(decided, peer, self._host)
        if spelt is None:
            self._left_out += 1
            return 0
        return self._put((DECISION, self._moment(decided.now), spelt))

    def note(self, kind: str, fields: Mapping[str, object]) -> int:
        """Write what somebody is about to be told that is no decision; return its position.

        Raises StateError, and then it is not in the log, and no more to be told than a decision.
        """
        return self._put((kind.encode(), moment(self._clock()), spell_fields(fields)))

    def wait(self, position: int, decision_id: str, told: Told) -> None:
        """Call back once `durable` is `position` or more, or that is known to fail."""
        if self._committing is None:
            told(True)
        else:
            self._committing.wait(position, decision_id, told)

    def event(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write what happened to this host. A log that refuses is reported: what happened has happened."""
        try:
            self.spool.append((kind.encode(), moment(self._clock()), spell_fields(fields)))
        except StateError as error:
            logs.warning("decision_log_unwritable", reason=error.message, hint=error.hint, event_not_logged=kind)

    def withhold(self, decision_ids: list[str], error: StateError) -> None:
        """Say that these decisions, which are in the log, were not given as answers: the next record is that."""
        self._denied_in_all += len(decision_ids)
        self._report(error)
        if not decision_ids:  # they come to wait only now, and for another sync
            return
        entry = WITHHELD, moment(self._clock()), spell_fields({"decision_ids": decision_ids, "reason": error.message})
        self._pending = (*self._pending, entry)

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

    def _put(self, entry: Entry) -> int:
        if self._denied or self._pending:
            return self._write_first_what_was_not(entry)
        try:
            return self._append(entry)
        except StateError as error:
            self._deny(error)
            raise

    def _write_first_what_was_not(self, entry: Entry) -> int:
        """Write how many answers were denied unlogged, and which were withheld, in front of a decision."""
        before = self._pending
        if self._denied:
            told = {"count": self._denied, "since": self._denied_since, "reason": self._problem}
            before = (*before, (UNLOGGED, entry[1], spell_fields(told)))
        try:
            position = self._append(*before, entry)
        except StateError as error:
            self._deny(error)
            raise
        logs.info("decision_log_writable", denied=self._denied)
        self._pending, self._denied, self._problem = (), 0, ""
        return position

    def _deny(self, error: StateError) -> None:
        if not self._denied:
            self._denied_since = moment(self._clock())
        self._denied += 1
        self._denied_in_all += 1
        self._report(error)

    def _report(self, error: StateError) -> None:
        if error.message != self._problem or (self._denied and self._denied % _REPORT_EVERY == 0):
            logs.warning("decision_log_unwritable", reason=error.message, hint=error.hint, denied=self._denied)
        self._problem = error.message
