"""The matcher: from a normalised request to a complete answer, the same whatever order the rules were written in.

Implements the decision semantics of docs/reference/decisions.md over the index. The work is done when a
bundle is loaded; a decision is a straight line: look up, check, answer. `policy_core.testing.oracle` is the reference.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence

from policy_core.classification import Classifier
from policy_core.decision import Answer, PolicyRef, issued
from policy_core.matcher.clauses import CheckCompiler
from policy_core.matcher.combining import RANK, Combiner
from policy_core.matcher.encoding import MatcherFormatError, clause_problem, decode_rules
from policy_core.matcher.index import Index
from policy_core.matcher.judging import Judge, ScopedException
from policy_core.memory import Memory, Oblivious
from policy_core.model import GRANTING, PolicyException, Provisions, Rule
from policy_core.request import Request

_SLICE = 64  # rules between two yields, about 1 ms
_OBLIVIOUS = Oblivious()
NOTHING_BESIDE = Provisions()


class Matcher:
    """A loaded policy: immutable, safe to share between threads (its parts only remember what they worked out)."""

    __slots__ = ("_classify", "_combiner", "_index", "_judge", "_names", "policy", "provisions", "rules")

    def __init__(self, index: Index, combiner: Combiner, judge: Judge, provisions: Provisions) -> None:
        self.rules = combiner.rules
        self.policy = combiner.policy
        self.provisions = provisions
        self._names = combiner.names
        self._index = index
        self._combiner = combiner
        self._judge = judge
        self._classify = Classifier(provisions.classifications) if provisions.classifications else None

    @property
    def parts(self) -> tuple[Index, Combiner, Judge, Provisions]:
        """Return what the matcher consists of, for one that answers over it."""
        return self._index, self._combiner, self._judge, self.provisions

    def naming(self, policy: PolicyRef) -> "Matcher":
        """Return a matcher of the same rules, not loaded again, whose answers name another release of them."""
        combiner = self._combiner.naming(policy)
        return Matcher(self._index, combiner, self._judge.over(combiner), self.provisions)

    def shares_rules(self, other: "Matcher") -> bool:
        """Tell whether two matchers have one index, so that taking one apart takes the other."""
        return self.rules is other.rules

    def dismantle(self) -> Iterator[None]:
        """Take the matcher apart, yielding after every few rules: freed at once, a large one would stall its process.

        Only for a matcher that no request can reach any more. From the first step on `decide` raises AttributeError
        rather than answer from what is left.
        """
        index = self._index
        del self._index
        yield from index.dismantle()
        for part in (self.rules, self._names):
            while part:
                del part[-_SLICE:]
                yield

    def classified(self, request: Request) -> Request:
        """Return a request as the rules see it: with the risk tags that the policy's classifications add."""
        return request if self._classify is None else self._classify(request)

    def candidates(self, request: Request) -> list[Rule]:
        """Return, in order, rules that may apply to a classified request or be in error: all that do, and others."""
        found = {rule.ordinal for rule in self._index.plan(request.action_name).candidates(request)}
        return [self.rules[ordinal] for ordinal in sorted(found)]

    def decide(self, claimed: Request, *, decision_id: str = "", memory: Memory = _OBLIVIOUS) -> Answer:
        """Return the complete answer to a normalised request; `memory` holds what was counted and which grants spent.

        An answer that allows is in the memory before it is returned.
        """
        request = claimed if self._classify is None else self._classify(claimed)
        candidates = self._index.plan(request.action_name).candidates(request)
        applied: list[int] = []
        errors: list[int] = []
        for rule in candidates:
            outcome: bool | None = True
            for check in rule.checks:
                held = check(request)
                if held is False:
                    outcome = False
                    break
                if held is None:
                    outcome = None
            if outcome:
                applied.append(rule.ordinal)
            elif outcome is None:
                errors.append(rule.ordinal)
        if len(applied) > 1:
            applied = sorted(set(applied))
        if errors or not self._judge.special.isdisjoint(applied):
            return self._judge.answer(request, claimed, applied, errors, memory=memory, decision_id=decision_id)
        return issued(self._combiner.plain(tuple(applied)), decision_id)


def loading(
    content: bytes, *, policy: PolicyRef, provisions: Provisions = NOTHING_BESIDE
) -> Generator[None, None, Matcher]:
    """Load ``matcher.jsonl`` in slices: yields between them, returns the matcher.

    Raises MatcherFormatError for content that `encode_rules` would not have written, or provisions that do not fit it.
    """
    rules: list[Rule] = []
    names: list[str] = []
    ranks: list[int] = []
    index = Index()
    dry_run: set[int] = set()
    special: set[int] = set()
    has_gates = False
    for line in decode_rules(content):
        for number, rule in enumerate(line):
            if number % _SLICE == 0:
                yield
            index.add(len(rules), rule)
            if rule.dry_run:
                dry_run.add(len(rules))
            if rule.dry_run or rule.rate is not None or rule.approval is not None:
                special.add(len(rules))
            has_gates = has_gates or bool(rule.gate)
            rules.append(rule)
            names.append(rule.name)
            ranks.append(RANK[rule.decision])
    compiler = CheckCompiler(provisions.data)
    yield from index.build(compiler)
    combiner = Combiner(rules, names, ranks, has_gates=has_gates, policy=policy)
    exceptions = yield from _scoped(provisions.exceptions, combiner, compiler)
    judge = Judge(
        combiner,
        dry_run=frozenset(dry_run),
        special=frozenset(special),
        exceptions=exceptions,
        approvers=provisions.approvers,
        data=provisions.data,
    )
    return Matcher(index, combiner, judge, provisions)


def load(content: bytes, *, policy: PolicyRef, provisions: Provisions = NOTHING_BESIDE) -> Matcher:
    """Load ``matcher.jsonl`` in one go. Raises MatcherFormatError as `loading` does."""
    steps = loading(content, policy=policy, provisions=provisions)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            matcher: Matcher = done.value
            return matcher


def _scoped(
    exceptions: tuple[PolicyException, ...], combiner: Combiner, compiler: CheckCompiler
) -> Generator[None, None, Mapping[int, Sequence[ScopedException]]]:
    """Return the exceptions by the ordinal of each rule they name, in slices. Raises MatcherFormatError."""
    if not exceptions:
        return {}
    wanted = frozenset(name for each in exceptions for name in each.rules)
    ordinals = {name: number for number, name in enumerate(combiner.names) if name in wanted}
    rules = combiner.rules
    found: dict[int, list[ScopedException]] = {}
    for count, each in enumerate(exceptions):
        if count % _SLICE == 0:
            yield
        if problem := clause_problem(each.scope):
            raise MatcherFormatError(f"exception {each.id}: {problem}")
        scoped = ScopedException(each.id, each.starts, each.expires, compiler.clause_checks(each.scope))
        for name in each.rules:
            number = ordinals.get(name)
            if number is None or rules[number].baseline or rules[number].decision in GRANTING:
                raise MatcherFormatError(f"exception {each.id}: cannot switch off rule {name}")
            found.setdefault(number, []).append(scoped)
    return found
