"""Replay: every distinct request decided on two revisions by the production matcher, and the flips gathered by rule."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from builder.compiling import Compiled, compile_tree
from builder.explaining import matcher_for
from builder.simulating.corpus import Corpus, Recorded
from builder.simulating.difference import unaffected
from builder.simulating.flips import ConstraintChange, Kind, constraint_changes, kind_of
from builder.source import PolicyTree
from policy_core.decision import Answer
from policy_core.errors import InvalidPolicyError
from policy_core.matcher import Matcher
from policy_core.model import Decision


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two revisions: what people call it, its policies, and the very matcher hosts would run."""

    label: str
    tree: PolicyTree
    matcher: Matcher
    places: dict[str, str]


@dataclass(frozen=True, slots=True)
class Flip:
    """A distinct request whose answer differs, and how often the corpus holds it."""

    recorded: Recorded
    kind: Kind
    before: Answer
    after: Answer
    count: int

    @property
    def constraint_changes(self) -> Sequence[ConstraintChange]:
        """Return the constraints that differ."""
        return tuple(constraint_changes(self.before, self.after))


@dataclass(frozen=True, slots=True)
class Step:
    """What flips have in common: their kind, and decision and rule (empty: no rule) on both sides."""

    kind: Kind
    before: Decision
    before_rule: str
    after: Decision
    after_rule: str


@dataclass(slots=True)
class Group:
    """The flips of one step: `count` of requests, of which `flips` holds each distinct one."""

    step: Step
    flips: list[Flip] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True, slots=True)
class Simulation:
    """The outcome of a replay; all numbers count requests as often as the corpus holds them."""

    total: int
    distinct: int
    groups: Sequence[Group]

    def count(self, *kinds: Kind) -> int:
        """Return how many requests flipped, of all kinds or of the given ones."""
        return sum(group.count for group in self.groups if not kinds or group.step.kind in kinds)

    @property
    def flips_percent(self) -> float:
        """Return the share of requests that flipped, 0 to 100."""
        return 100 * self.count() / self.total if self.total else 0.0


def load_side(label: str, tree: PolicyTree) -> Side:
    """Compile a tree and load its matcher. Raises as `compile_side`."""
    return side_of(label, compile_side(label, tree))


def compile_side(label: str, tree: PolicyTree) -> Compiled:
    """Compile a tree, without judging expiry dates. Raises InvalidPolicyError whose message names the side."""
    try:
        return compile_tree(tree, today=None)
    except InvalidPolicyError as error:
        error.message = f"{label}: {error.message}"
        raise


def side_of(label: str, compiled: Compiled) -> Side:
    """Load the matcher of a compiled tree."""
    matcher = matcher_for(compiled.rules, compiled.provisions, compiled.tree.revision)
    return Side(label, compiled.tree, matcher, compiled.places())


def simulate(corpus: Corpus, before: Side, after: Side) -> Simulation:
    """Decide every request of the corpus on both sides and return the flips: widened first, then by number.

    Raises InvalidPolicyError as iterating over the corpus does.
    """
    old, new = before.matcher.decide, after.matcher.decide
    is_unaffected = unaffected(before.matcher, after.matcher)
    flipped: list[tuple[int, Recorded, Kind, Answer, Answer]] = []
    for position, recorded in enumerate(corpus):
        if is_unaffected(recorded.request):
            continue
        was, now = old(recorded.request), new(recorded.request)
        kind = kind_of(was, now)
        if kind is not None:
            flipped.append((position, recorded, kind, was, now))
    groups: dict[Step, Group] = {}
    for position, recorded, kind, was, now in flipped:  # only now is it known how often each occurs
        step = Step(kind, was.decision, was.matched_rule, now.decision, now.matched_rule)
        group = groups.setdefault(step, Group(step))
        group.flips.append(Flip(recorded, kind, was, now, corpus.counts[position]))
        group.count += corpus.counts[position]
    order = list(Kind)
    found = sorted(
        groups.values(),
        key=lambda group: (order.index(group.step.kind), -group.count, group.step.before_rule, group.step.after_rule),
    )
    return Simulation(sum(corpus.counts), len(corpus.counts), found)
