"""What a sidecar tells of itself, all its processes together: status, health, metrics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agent_sidecar.activation import Activation
from agent_sidecar.decision_log.log import LogStatus
from agent_sidecar.host import Host
from agent_sidecar.metrics import Readings, metrics_text
from agent_sidecar.reports.telling import Telling
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.gatekeeper import Gatekeeper
from agent_sidecar.server.service import Service
from agent_sidecar.status import Health, Status, health_of, status_of
from agent_sidecar.tally import total
from agent_sidecar.traces.exporting import SpanExporter
from agent_sidecar.workers.crew import Crew
from agent_sidecar.workers.messages import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Reads the parts of a sidecar; `crew` are its workers, if it has some."""

    host: Host
    decisions: DecisionApi
    services: Sequence[Service]
    gatekeeper: Gatekeeper
    telling: Telling | None
    crew: Crew | None
    spans: SpanExporter | None

    def status(self) -> Status:
        """Return the status document."""
        host, crew, elsewhere = self.host, self.crew, self._elsewhere()
        return status_of(
            host.enforcement,
            host.updater,
            host.clock,
            host.memory,
            self._log(elsewhere),
            polls=host.poller.polls,
            decisions=self.decisions.decisions + elsewhere.decisions,
            workers=crew.status() if crew else (),
            workers_replaced=crew.replaced if crew else 0,
            reports=self.telling.status() if self.telling else None,
            access=self.gatekeeper.status(refused=elsewhere.refused, turned_away=elsewhere.turned_away),
        )

    def health(self) -> Health:
        """Return whether a policy is enforced, and how fresh it is."""
        return health_of(self.host.enforcement, self.host.updater, self.host.clock)

    def metrics(self) -> bytes:
        """Return the metrics document."""
        host, spans, elsewhere = self.host, self.spans, self._elsewhere()
        active = host.in_force()
        return metrics_text(
            Readings(
                now=host.clock(),
                status=self.status(),
                freshness=host.updater.freshness,
                activated_at=active.activated_at if isinstance(active, Activation) else math.nan,
                tally=total([self.decisions.tally, elsewhere.tally]),
                polls=host.poller.outcomes,
                events=host.events,
                requests=sum(service.requests for service in self.services) + elsewhere.requests,
                connections=sum(len(service.connections) for service in self.services) + elsewhere.connections,
                spans=(spans.exported + elsewhere.spans_exported, spans.dropped + elsewhere.spans_dropped)
                if spans
                else None,
            )
        )

    def _log(self, elsewhere: Counts) -> LogStatus:
        own = self.host.log.status()
        return msgspec.structs.replace(
            own,
            denied=own.denied + elsewhere.unlogged,
            left_out=own.left_out + elsewhere.left_out,
            problem=own.problem or elsewhere.log_problem,
        )

    def _elsewhere(self) -> Counts:
        return self.crew.counts() if self.crew else Counts()
