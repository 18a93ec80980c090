"""The gates of a publish: what the release that is live demands of the one that would replace it.

Coverage, governance, approvals and simulation thresholds are all read from the live ``writ.yaml``, signers from the
live tree. So a change cannot lower the bar it must clear: to demand less takes a release of its own, which is held to
what was demanded before.
"""

from builder.governing import governance_problems
from builder.language.governance import Governance
from builder.language.project import FILE, CoverageGate
from builder.merging.judging import Approvals, require_approvals
from builder.policytest import measure_coverage
from builder.publishing.candidate import Candidate
from builder.publishing.provenance import Gates
from builder.simulating.thresholds import project_of, require_gate
from builder.source import PolicyRepository, PolicyTree
from policy_core.errors import GateError, Problem
from policy_core.trust.release import Release

_HINT = f"if the demand itself must change, publish a commit first that changes nothing but {FILE}"


class GovernanceError(GateError):
    """The candidate falls short of the governance that is live; `problems` says in what, sorted by place."""

    default_hint = _HINT

    def __init__(self, label: str, problems: tuple[Problem, ...]) -> None:
        count = len(problems)
        super().__init__(f"{FILE} of {label}: governance is not kept ({count} problem{'s' if count != 1 else ''})")
        self.problems = problems


def require_live_gates(repository: PolicyRepository, candidate: Candidate, *, live: Release, since: str) -> Gates:
    """Hold a candidate to every gate of the release that is live, and return those it demands.

    The commits after the revision `since`, the newest that was brought into the channel, are what must be approved.
    Raises GovernanceError, MissingApprovalsError, CoverageTooLowError, SimulationGateError, InvalidPolicyError for a
    tree that is broken, and UsageError as `require_approvals`.
    """
    label, tree = f"release {live.release}", repository.tree(live.revision)
    project = project_of(label, tree)
    _require_governance(label, project.governance, candidate)
    approvals = _require_approvals(label, project.governance, tree, repository, candidate, since)
    _require_coverage(label, project.coverage, candidate)
    simulated = require_gate(label, tree, candidate.compiled)
    demanded = {
        "governance": True,
        "approvals": approvals is not None,
        "coverage": project.coverage != CoverageGate(),
        "simulation": simulated,
    }
    return Gates(live.release, tuple(name for name, asked in demanded.items() if asked), approvals)


def _require_governance(label: str, governance: Governance, candidate: Candidate) -> None:
    problems = sorted(set(governance_problems(governance, candidate.compiled.governed(candidate.today))))
    if problems:
        raise GovernanceError(label, tuple(problems))


def _require_approvals(
    label: str, governance: Governance, live: PolicyTree, repository: PolicyRepository, candidate: Candidate, since: str
) -> Approvals | None:
    demanded = governance.path_approvals
    if not demanded.teams_by_glob:
        return None
    return require_approvals(
        label,
        demanded,
        live.files,
        repository.git,
        since=since,
        revision=candidate.bundle.revision,
        reviews=candidate.reviews,
    )


def _require_coverage(label: str, gate: CoverageGate, candidate: Candidate) -> None:
    if gate != CoverageGate():
        covered = measure_coverage(candidate.compiled, candidate.tests)
        covered.require(gate, what=f"{FILE} of {label}: gates.coverage")
