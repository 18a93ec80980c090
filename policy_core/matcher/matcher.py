"""The matcher: from a normalised request to a complete answer, the same whatever order the rules were written in.

Implements the decision semantics of docs/reference/decisions.md over the index. The work is done when a
bundle is loaded; a decision is a straight line: look up, check, answer. `policy_core.testing.oracle` is the reference.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence

from policy_core.classification import Classifier
from policy_core.decision import Answer, PolicyRef, issued
from policy_core.large import free_in_pieces
from policy_core.matcher.caching import DecisionCache
from policy_core.matcher.clauses import CheckCompiler
from policy_core.matcher.combining import RANK, Combiner
from policy_core.matcher.encoding import MatcherFormatError, clause_problem, decode_rules
from policy_core.matcher.index import Index, Rules
from policy_core.matcher.judging import Judge, ScopedException
from policy_core.matcher.sharing import Sharer
from policy_core.memory import Memory, Oblivious
from policy_core.model import GRANTING, PolicyException, Provisions, Rule
from policy_core.request import Request

FEW_RULES = 8
"""Up to so many candidates are looked at in less time than it takes to ask the cache."""
_SLICE = 64  # rules between two yields, about 1 ms
_OBLIVIOUS = Oblivious()
NOTHING_BESIDE = Provisions()


class Matcher:
    """A loaded policy: immutable, safe to share between threads (its parts only remember what they worked out)."""

    __slots__ = ("_cache", "_classify", "_combiner", "_index", "_judge", "policy", "provisions", "rules")

    def __init__(self, index: Index, combiner: Combiner, judge: Judge, provisions: Provisions) -> None:
        self.rules = combiner.rules
        self.policy = combiner.policy
        self.provisions = provisions
        self._index = index
        self._combiner = combiner
        self._judge = judge
        self._cache = DecisionCache(combiner.rules, judge.exceptions)
        self._classify = Classifier(provisions.classifications) if provisions.classifications else None

    @property
    def cache_hits(self) -> int:
        """Return how many answers came from the cache: after an answer, more than before it if that one did."""
        return self._cache.hits

    @property
    def cache_misses(self) -> int:
        """Return how many answers the cache was asked for and did not have."""
        return self._cache.misses

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

    def warm(self, other: "Matcher") -> Iterator[None]:
        """Work out what another matcher was asked last about actions, yielding after every few of them.

        The other must not be taken apart meanwhile.
        """
        yield from self._index.warm(other.parts[0])

    def dismantle(self) -> Iterator[None]:
        """Take the matcher apart, yielding after every few rules: freed at once, a large one would stall its process.

        Only for a matcher that no request can reach any more. From the first step on `decide` raises AttributeError
        rather than answer from what is left.
        """
        index, cache = self._index, self._cache
        del self._index
        yield from index.dismantle()
        yield from cache.forget()
        yield from self._combiner.forget()
        while self.rules:
            del self.rules[-_SLICE:]
            yield
        yield from free_in_pieces(self.provisions.data)

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
        if not candidates:
            return issued(self._combiner.plain(()), decision_id)
        if len(candidates) <= FEW_RULES:
            return issued(self._work_out(request, claimed, candidates, memory)[0], decision_id)
        key, known = self._cache.look_up(candidates, request)
        if known is None:
            known, lasts = self._work_out(request, claimed, candidates, memory)
            if lasts and key:
                self._cache.put(key, known)
        return issued(known, decision_id)

    def lasting(self, claimed: Request) -> Answer | None:
        """Return the answer to a normalised request if it is the same at any time, whatever is remembered; not a copy.

        None where that is not certain: a rule that might apply reads the time, may be under an exception, or has a rate
        or takes approvals.
        """
        request = self.classified(claimed)
        candidates = self._index.plan(request.action_name).candidates(request)
        if not self._cache.are_timeless(candidates):
            return None
        answer, lasts = self._work_out(request, claimed, candidates, _OBLIVIOUS)
        return answer if lasts else None

    def _work_out(self, request: Request, claimed: Request, candidates: Rules, memory: Memory) -> tuple[Answer, bool]:
        """Return an answer, of which callers get copies, and whether it depends on nothing that is remembered."""
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
        judge = self._judge
        if not errors and judge.special.isdisjoint(applied):
            return self._combiner.plain(tuple(applied)), True
        lasts = judge.stateful.isdisjoint(applied) and judge.stateful.isdisjoint(errors)
        return judge.answer(request, claimed, applied, errors, memory=memory), lasts


def loading(
    content: bytes, *, policy: PolicyRef, provisions: Provisions = NOTHING_BESIDE
) -> Generator[None, None, Matcher]:
    """Load ``matcher.jsonl`` in slices: yields between them, returns the matcher.

    Raises MatcherFormatError for content that `encode_rules` would not have written, or provisions that do not fit it.
    """
    rules: list[Rule] = []
    ranks: list[int] = []
    index, sharer = Index(), Sharer()
    dry_run: set[int] = set()
    stateful: set[int] = set()
    has_gates = False
    for line in decode_rules(content):
        for number, rule in enumerate(line):
            if number % _SLICE == 0:
                yield
            sharer.share(rule)
            index.add(len(rules), rule)
            if rule.dry_run:
                dry_run.add(len(rules))
            if rule.rate is not None or rule.approval is not None:
                stateful.add(len(rules))
            has_gates = has_gates or bool(rule.gate)
            rules.append(rule)
            ranks.append(RANK[rule.decision])
    del sharer
    compiler = CheckCompiler(provisions.data)
    yield from index.build(compiler)
    combiner = Combiner(rules, ranks, has_gates=has_gates, policy=policy)
    exceptions = yield from _scoped(provisions.exceptions, combiner, compiler)
    judge = Judge(
        combiner,
        dry_run=frozenset(dry_run),
        stateful=frozenset(stateful),
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
    rules = combiner.rules
    ordinals = {name: number for number, rule in enumerate(rules) if (name := rule.name) in wanted}
    found: dict[int, list[ScopedException]] = {}
    for count, each in enumerate(exceptions):
        if count % _SLICE == 0:
            yield
        if problem := clause_problem(each.scope):
            raise MatcherFormatError(f"exception {each.id}: {problem}")
        scoped = ScopedException(each.id, each.starts, each.expires, each.scope, compiler.clause_checks(each.scope))
        for name in each.rules:
            number = ordinals.get(name)
            if number is None or rules[number].baseline or rules[number].decision in GRANTING:
                raise MatcherFormatError(f"exception {each.id}: cannot switch off rule {name}")
            found.setdefault(number, []).append(scoped)
    return found
