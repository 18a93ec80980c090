"""Reports of this host's state to the fleet's records: when it changes, and once in each slot of ten minutes.

Each is a new object whose name says what a listing of the fleet needs (`policy_core.fleet.names`); what is in it is
signed. A store that does not answer is asked again and never waited for: decisions and polls know nothing of this.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import msgspec

from agent_sidecar.host_key import HostSigner
from agent_sidecar.retrying import Retrying
from agent_sidecar.status import Status
from bundle_store.port import PreconditionFailedError, RecordsStore
from policy_core import __version__
from policy_core.decision_log.names import spelled_host
from policy_core.features import SUPPORTED
from policy_core.fleet.names import SLOT_S, HostState, Mark, features_digest, moment_in_slot
from policy_core.fleet.report import encode_report

MIN_GAP_S = 10.0
"""A state that changes all the time is reported this often; what is in between nobody could act on."""


class Reporter:
    """Reports for one host; `tend` is called about once a second, by one thread, and may wait for the network.

    `reported_at` is host time of the last of so many `reports`, 0 before the first.
    """

    def __init__(
        self,
        store: RecordsStore,
        signer: HostSigner,
        *,
        status: Callable[[], Status],
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reported_at, self.reports = 0.0, 0
        self._store = store
        self._signer = signer
        self._status = status
        self._clock = clock
        self._monotonic = monotonic
        self._offset_s = moment_in_slot(signer.key.host)
        self._slot = -1
        self._told: HostState | None = None
        self._not_before = 0.0
        self._retrying = Retrying("report")

    @property
    def problem(self) -> str:
        """Return why the next report has not arrived."""
        return self._retrying.problem

    def tend(self) -> None:
        """Report if it is time to, or something has changed; what goes wrong is logged, and tried again."""
        now = self._monotonic()
        if now >= self._not_before:
            self._retrying.attempt(self._report, now)

    def _report(self) -> bool:
        status, now = self._status(), self._clock()
        if not (status.verified_at or status.failure or status.rejection):
            return False  # the first poll is under way: what there is to say comes in a moment
        state = host_state(status, host=self._signer.key.host, now=now)
        slot = int((now - self._offset_s) // SLOT_S)
        if slot == self._slot and _without_times(state) == self._told:
            return False
        self._put(state, status)
        self._slot, self._told = slot, _without_times(state)
        self._not_before = self._monotonic() + MIN_GAP_S
        self.reported_at, self.reports = now, self.reports + 1
        return True

    def _put(self, state: HostState, status: Status) -> None:
        signer = self._signer
        content = encode_report(
            state,
            host=signer.key.host,
            features=SUPPORTED,
            status=msgspec.json.encode(status),
            keyid=signer.keyid,
            sign=signer.sign,
        )
        try:
            self._store.put(state.name, content, if_etag=None)
        except PreconditionFailedError:
            return  # said within this very second, by a put whose answer was lost


def host_state(status: Status, *, host: str, now: float) -> HostState:
    """Return what a listing of the fleet shows of a status at host time `now`."""
    timestamp = status.metadata.get("timestamp")
    marks = {
        Mark.ROLLED_BACK: status.pinned,
        Mark.CLOCK_BEHIND: status.clock_behind_s,
        Mark.EMERGENCY: status.emergency,
        Mark.LOG_UNWRITABLE: status.log.problem,
        Mark.REJECTED: status.rejection,
    }
    return HostState(
        host=spelled_host(host),
        channel=status.channel,
        at=int(now),
        enforced=status.enforced.release if status.enforced else 0,
        listed=status.published.release if status.published else 0,
        timestamp=timestamp.version if timestamp else 0,
        signed_at=_seconds(status.signed_at),
        freshness=status.state.value,
        marks=frozenset(mark for mark, is_on in marks.items() if is_on),
        features=features_digest(SUPPORTED),
        version=__version__,
    )


def _without_times(state: HostState) -> HostState:
    """Return a state without what changes while nothing happens."""
    return replace(state, at=0, timestamp=0, signed_at=0)


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) if moment else 0
