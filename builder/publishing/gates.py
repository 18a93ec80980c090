"""The gates of a publish: what the release that is live demands of the one that would replace it.

Coverage, governance and simulation thresholds are all read from the live ``writ.yaml``. So a change cannot lower the
bar it must clear: to demand less takes a release of its own, which is held to what was demanded before.
"""

from builder.governing import governance_problems
from builder.language.governance import Governance
from builder.language.project import FILE, CoverageGate
from builder.policytest import measure_coverage
from builder.publishing.candidate import Candidate
from builder.simulating.thresholds import project_of, require_gate
from builder.source import PolicyTree
from policy_core.errors import GateError, Problem

_HINT = f"if the demand itself must change, publish a commit first that changes nothing but {FILE}"


class GovernanceError(GateError):
    """The candidate falls short of the governance that is live; `problems` says in what, sorted by place."""

    default_hint = _HINT

    def __init__(self, label: str, problems: tuple[Problem, ...]) -> None:
        count = len(problems)
        super().__init__(f"{FILE} of {label}: governance is not kept ({count} problem{'s' if count != 1 else ''})")
        self.problems = problems


def require_live_gates(label: str, live: PolicyTree, candidate: Candidate) -> tuple[str, ...]:
    """Hold a candidate to every gate of the `live` tree, called `label`, and return the names of those it demands.

    Raises GovernanceError, CoverageTooLowError, SimulationGateError, and InvalidPolicyError for a tree that is broken.
    """
    project = project_of(label, live)
    _require_governance(label, project.governance, candidate)
    _require_coverage(label, project.coverage, candidate)
    simulated = require_gate(label, live, candidate.compiled)
    demanded = {"governance": True, "coverage": project.coverage != CoverageGate(), "simulation": simulated}
    return tuple(name for name, asked in demanded.items() if asked)


def _require_governance(label: str, governance: Governance, candidate: Candidate) -> None:
    problems = sorted(set(governance_problems(governance, candidate.compiled.governed(candidate.today))))
    if problems:
        raise GovernanceError(label, tuple(problems))


def _require_coverage(label: str, gate: CoverageGate, candidate: Candidate) -> None:
    if gate != CoverageGate():
        covered = measure_coverage(candidate.compiled, candidate.tests)
        covered.require(gate, what=f"{FILE} of {label}: gates.coverage")
