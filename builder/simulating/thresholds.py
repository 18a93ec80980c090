"""Thresholds: how much a change may flip before it is held up.

Those of a publish are the ones of the release that is live, and they hold for its requests as well as for those of
the candidate. So a change can neither lower the bar it must clear nor remove, or water down, what would show it.
"""

from collections.abc import Iterator

from builder.compiling import Compiled
from builder.language.nodes import Report
from builder.language.project import FILE, Project, SimulationGate, read_project
from builder.simulating.corpus import Corpus
from builder.simulating.flips import Kind
from builder.simulating.replaying import Side, Simulation, load_side, side_of, simulate
from builder.simulating.report import describe_flip
from builder.source import PolicyTree
from policy_core.errors import GateError, InvalidPolicyError, UsageError

MAX_NAMED_FLIPS = 3


class SimulationGateError(GateError):
    """A simulation flips more than a threshold permits."""

    default_hint = "the report shows all flips, more of each group with --examples"


def require_within(
    gate: SimulationGate, simulation: Simulation, *, what: str = "simulation", hint: str | None = None
) -> None:
    """Raise SimulationGateError, which names the first flips, if a threshold is exceeded.

    Where a change is looser in one way and tighter in another, it lets through what was not let through before:
    *changed* counts as widened.
    """
    exceeded = list(_exceeded(gate, simulation))
    if exceeded:
        named = (group.flips[0] for group in simulation.groups[:MAX_NAMED_FLIPS])  # each another step
        raise SimulationGateError(
            f"{what}: {'; '.join(exceeded)}; first: {'; '.join(describe_flip(flip) for flip in named)}",
            hint=hint,
        )


def require_gate(label: str, live: PolicyTree, candidate: Compiled) -> bool:
    """Hold a candidate to ``gates.simulation`` of the `live` tree, called `label`; False if that asks for nothing.

    Raises SimulationGateError, also if there is nothing to replay, and InvalidPolicyError for a tree that is broken.
    """
    gate = project_of(label, live).simulation
    if gate is None:
        return False
    before, after = load_side(label, live), side_of(_name(candidate.tree), candidate)
    total = 0
    for side, command in ((before, "writ simulate --corpus from"), (after, "writ simulate")):
        if side is before and _corpus(before) == _corpus(after):
            continue
        simulation = simulate(Corpus(side.tree), before, after)
        total += simulation.total
        require_within(
            gate,
            simulation,
            what=f"{FILE} of {label}: gates.simulation, replaying the corpus of {side.label}",
            hint=f"`{command}` shows all flips; if they are meant, publish a commit first that does nothing but raise "
            f"gates.simulation in {FILE}",
        )
    if not total:
        raise SimulationGateError(
            f"{FILE} of {label}: gates.simulation, but there is no request to replay",
            hint="put requests into corpus/, one JSON object a line, such as corpus/agents.jsonl",
        )
    return True


def require_configured_gate(label: str, live: PolicyTree, candidate: Compiled) -> None:
    """Do as `require_gate`; raises UsageError if there is no gate to hold the candidate to."""
    if not require_gate(label, live, candidate):
        raise UsageError(
            f"--check: {FILE} of {label} has no gates.simulation",
            hint="set it and publish that, or give --max-widened or --max-flips-percent",
        )


def check_corpus(tree: PolicyTree) -> None:
    """Raise InvalidPolicyError if a line of the corpus is no request: once live, it would hold up what comes after."""
    for _ in Corpus(tree):
        pass


def project_of(label: str, tree: PolicyTree) -> Project:
    """Return the settings of a tree called `label`. Raises InvalidPolicyError if they are broken."""
    report = Report(FILE)
    project = read_project(tree.files.get(FILE), report)
    if project is None:
        error = InvalidPolicyError(report.problems)
        error.message = f"{label}: {error.message}"
        raise error
    return project


def _name(tree: PolicyTree) -> str:
    return "the work tree" if tree.dirty else f"commit {tree.revision[:12]}"


def _corpus(side: Side) -> dict[str, bytes]:
    return dict(side.tree.below("corpus"))


def _exceeded(gate: SimulationGate, simulation: Simulation) -> Iterator[str]:
    if gate.max_flips_percent is not None and simulation.flips_percent > gate.max_flips_percent:
        yield f"{simulation.flips_percent:.2f} % of the requests flip (limit {gate.max_flips_percent:g} %)"
    widened = simulation.count(Kind.WIDENED, Kind.CHANGED)
    if gate.max_widened is not None and widened > gate.max_widened:
        yield f"{widened} widened or changed (limit {gate.max_widened})"
