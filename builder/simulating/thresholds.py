"""Thresholds: how much a change may flip before it is held up."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from builder.simulating.flips import Kind
from builder.simulating.replaying import Simulation
from builder.simulating.report import describe_flip
from policy_core.errors import GateError

MAX_NAMED_FLIPS = 5


class SimulationGateError(GateError):
    """A simulation flips more than a threshold permits."""

    default_hint = "`writ simulate` shows all flips"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The most flips in percent of all requests, and the most requests widened; None: no threshold.

    Where a change is looser in one way and tighter in another, it lets through what was not let through before:
    *changed* counts as widened.
    """

    max_flips_percent: float | None = None
    max_widened: int | None = None

    def require(self, simulation: Simulation) -> None:
        """Raise SimulationGateError, which names the first flips, if a threshold is exceeded."""
        exceeded = list(self._exceeded(simulation))
        if exceeded:
            named = islice(simulation.flips(), MAX_NAMED_FLIPS)
            raise SimulationGateError(
                f"simulation: {'; '.join(exceeded)}; first: {'; '.join(describe_flip(flip) for flip in named)}"
            )

    def _exceeded(self, simulation: Simulation) -> Iterator[str]:
        if self.max_flips_percent is not None and simulation.flips_percent > self.max_flips_percent:
            yield f"{simulation.flips_percent:.2f} % of the requests flip (limit {self.max_flips_percent:g} %)"
        widened = simulation.count(Kind.WIDENED, Kind.CHANGED)
        if self.max_widened is not None and widened > self.max_widened:
            yield f"{widened} widened or changed (limit {self.max_widened})"
