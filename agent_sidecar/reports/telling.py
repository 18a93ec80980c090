"""All that this host tells the fleet, kept up to date: its key is enrolled, and its state reported."""

from collections.abc import Callable

from agent_sidecar.history import moment
from agent_sidecar.host_key import HostSigner
from agent_sidecar.reports.enrolling import Enrolment
from agent_sidecar.reports.reporting import Reporter
from agent_sidecar.reports.status import ReportsStatus
from agent_sidecar.status import Status
from bundle_store.opening import open_records


class Telling:
    """To one store, for one host; `tend` is called about once a second, by one thread, and may wait for the network."""

    def __init__(
        self, url: str, signer: HostSigner, *, status: Callable[[], Status], clock: Callable[[], float]
    ) -> None:
        self._store = open_records(url)
        self._enrolment = Enrolment(self._store, signer)
        self._reporter = Reporter(self._store, signer, status=status, clock=clock)

    def status(self) -> ReportsStatus:
        """Return how it goes."""
        reporter = self._reporter
        return ReportsStatus(
            to=self._store.url,
            enrolled=self._enrolment.is_done,
            reported_at=moment(reporter.reported_at) if reporter.reports else "",
            reports=reporter.reports,
            problem=self._enrolment.problem or reporter.problem,
        )

    def tend(self) -> None:
        """Enrol and report, if it is time to. Never raises."""
        self._enrolment.tend()
        self._reporter.tend()
