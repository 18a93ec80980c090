"""Answers that take more than a look: errors, dry runs, rates, exceptions and approvals.

In this order: rates say which rules apply (1); exceptions take rules away (2); what is in force is combined, an error
never granting and a restriction in error applying (3); if that asks, the grants of the request may satisfy it (4); if
the request then is allowed it is counted, and the grants are spent, before anyone hears of it (5); last, what the
dry-run rules would have changed (6).
"""

import copy
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from policy_core.condition import compile_condition
from policy_core.decision import APPROVED, EVALUATION_ERROR, Answer, Ask, DryRun, RuleError
from policy_core.grants import NO_GRANTS, Verdict, missing_approvals, request_digest, rules_digest
from policy_core.matcher.clauses import Check
from policy_core.matcher.combining import ALLOWED, RANK, Combiner, decider, rank_in_error
from policy_core.memory import ForgottenError, Memory
from policy_core.model import Approver, Clauses, Condition, Decision
from policy_core.rates import RateKeyError, read_rate
from policy_core.remembering import Remembered
from policy_core.request import Request
from policy_core.revoking import NOTHING_REVOKED, Revoked
from policy_core.trace import trace_rule

MAX_REPORTED_ERRORS = 20
MAX_REMEMBERED_CONDITIONS = 1_000
MAX_REMEMBERED_ASKS = 1_000


@dataclass(frozen=True, slots=True)
class ScopedException:
    """An exception as the matcher runs it: in force from `starts` to `expires` where all checks are true."""

    id: str
    starts: int
    expires: int
    scope: Clauses
    checks: tuple[Check, ...]

    def holds(self, request: Request) -> bool:
        """Tell whether it switches its rules off for a request; where its scope is an error it does not."""
        return self.starts <= request.now < self.expires and all(check(request) for check in self.checks)


@dataclass(slots=True)
class _Case:
    """What is known about one request: ordinals of rules that apply, that are in error (and why), that are rated.

    `uncounted` are those of the rated ones under which an answer that allows still has to be counted; `restored` are in
    force only because an exception is revoked, and `unrevoked` is the memory for which revoked grants count.
    """

    request: Request
    claimed: Request
    memory: Memory
    unrevoked: Memory
    applied: list[int]
    failed: dict[int, str]
    rated: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    uncounted: list[int] = field(default_factory=list)
    exception: str = ""
    restored: frozenset[int] = frozenset()
    satisfied: frozenset[int] = frozenset()
    ask: Ask | None = None
    verdict: Verdict = NO_GRANTS

    def take_away(self, numbers: Container[int]) -> None:
        """Go on without some rules."""
        self.applied = [number for number in self.applied if number not in numbers]
        self.failed = {number: why for number, why in self.failed.items() if number not in numbers}

    def as_published(self) -> "_Case":
        """Return the case as it would be if nothing were revoked."""
        other = replace(self, memory=self.unrevoked, restored=frozenset(), satisfied=frozenset(), ask=None)
        other.take_away(self.restored)
        return other

    def become(self, other: "_Case") -> None:
        """Take over which rules are in force in another case of the same request, and what they ask for."""
        self.applied, self.failed, self.restored = other.applied, other.failed, other.restored
        self.satisfied, self.ask, self.verdict = other.satisfied, other.ask, other.verdict


class Judge:
    """Answers where a rule takes part that is `special` (ordinals): stateful, dry-run, or under an exception.

    A rule is *stateful* if its part in an answer depends on what is remembered: where it has a rate, or takes grants.
    """

    __slots__ = (
        "_approvers", "_asks", "_combiner", "_conditions", "_data", "_dry_run", "exceptions", "revoked", "special",
        "stateful",
    )  # fmt: skip

    def __init__(
        self,
        combiner: Combiner,
        *,
        dry_run: frozenset[int],
        stateful: frozenset[int],
        exceptions: Mapping[int, Sequence[ScopedException]],
        approvers: Iterable[Approver],
        data: Mapping[str, Any],
    ) -> None:
        self._combiner = combiner
        self.exceptions = exceptions
        self._approvers = {approver.id: approver for approver in approvers}
        self._data = data
        self._dry_run = dry_run
        self.revoked = NOTHING_REVOKED
        self.stateful = stateful
        self.special = stateful | dry_run | exceptions.keys()
        self._asks: Remembered[tuple[int, ...], Ask] = Remembered(MAX_REMEMBERED_ASKS)
        self._conditions: Remembered[int, Callable[[Request], bool]] = Remembered(MAX_REMEMBERED_CONDITIONS)

    def revoking(self, revoked: Revoked) -> "Judge":
        """Return a judge for whom what is revoked does not count, where that makes an answer stricter."""
        return self._with(revoked=revoked)

    def over(self, combiner: Combiner) -> "Judge":
        """Return a judge of the same rules whose answers `combiner` puts together."""
        return self._with(_combiner=combiner)

    def _with(self, **changes: object) -> "Judge":
        judge = copy.copy(self)
        for name, value in changes.items():
            setattr(judge, name, value)
        return judge

    def answer(
        self,
        request: Request,
        claimed: Request,
        applied: list[int],
        errors: list[int],
        *,
        memory: Memory,
    ) -> Answer:
        """Answer a request for which these rules apply (sorted ordinals) or are in error; `claimed` is as it came."""
        rules = self._combiner.rules
        failed = {number: "" for number in sorted(set(errors)) if not rules[number].skip_errors}
        case = _Case(request, claimed, self.revoked.over(memory), memory, applied, failed)
        self._read_rates(case)
        self._lift(case)
        answer = self._settled(case)
        while answer.allowed and not self._count(case):
            answer = self._settled(case)
        if answer.allowed and case.satisfied and not _spend(case):
            answer = self._enforced(case)
        return self._complete(answer, case)

    def _read_rates(self, case: _Case) -> None:
        """(1) A rated rule applies once its rate is reached; if that cannot be told, it is in error."""
        rules, still = self._combiner.rules, []
        for number in case.applied:
            rule = rules[number]
            if rule.rate is None:
                still.append(number)
                continue
            try:
                case.rated[number] = read_rate(rule, case.request, case.memory)
            except (RateKeyError, ForgottenError) as error:
                self._fail(case, number, error.message)
                continue
            case.uncounted.append(number)
            if case.rated[number][1] is not None:
                still.append(number)
        case.applied = still

    def _lift(self, case: _Case) -> None:
        """(2) Take away the rules that an exception in force names; the first of those names it in the answer."""
        lifted = {}
        for number in sorted({*case.applied, *case.failed} & self.exceptions.keys()):
            holding = [each.id for each in self.exceptions[number] if each.holds(case.request)]
            found = next((name for name in holding if name not in self.revoked.exceptions), "")
            if found:
                lifted[number] = found
            elif holding:
                case.restored |= {number}
        if lifted:
            case.exception = case.exception or next(iter(lifted.values()))
            case.take_away(lifted)

    def _settled(self, case: _Case) -> Answer:
        """Answer from what is in force; where something is revoked, the policy's own answer if that is stricter.

        It can be: without an exception a rule that asks is back, and its approval would grant what nothing else grants.
        """
        answer = self._weighed(case)
        if case.restored or case.memory is not case.unrevoked:
            published = case.as_published()
            own = self._weighed(published)
            if RANK[own.decision] < RANK[answer.decision]:
                case.become(published)
                return own
        return answer

    def _weighed(self, case: _Case) -> Answer:
        """Answer from the rules of a case and, if they ask, from what the grants of the request are worth."""
        answer = self._enforced(case)
        if answer.decision is Decision.REQUIRE_APPROVAL and self._satisfy(case):
            answer = self._enforced(case)
        return answer

    def _enforced(self, case: _Case) -> Answer:
        """(3) Answer from the rules that are in force."""
        applied = [number for number in case.applied if number not in self._dry_run]
        failed = [number for number in case.failed if number not in self._dry_run]
        return self._combine(applied, failed, case.satisfied)

    def _combine(self, applied: list[int], failed: list[int], satisfied: frozenset[int]) -> Answer:
        """Answer with rules in error: an error never grants, and a restriction in error applies.

        An ``allow_with_constraints`` in error grants nothing, but its constraints still narrow what others grant. A
        satisfied ask allows; one in error merely no longer asks.
        """
        combiner = self._combiner
        ranks = {number: combiner.ranks[number] for number in applied}
        for number in failed:
            rank = rank_in_error(combiner.rules[number].decision)
            if rank is not None:
                ranks[number] = rank
        for number in satisfied & ranks.keys():
            if number in failed:
                del ranks[number]
            else:
                ranks[number] = ALLOWED
        together = sorted(ranks)
        answer = combiner.answer(together, sorted({*applied, *failed}), ranks)
        if answer.matched_rule:
            deciding = decider(together, ranks)[1]
            if deciding in failed:
                answer.reason_code = EVALUATION_ERROR
            elif deciding in satisfied:
                answer.reason_code = APPROVED
        return answer

    def _satisfy(self, case: _Case) -> bool:
        """(4) Tell whether the grants of a request satisfy all that ask, noting what is asked and what is missing."""
        rules = self._combiner.rules
        case.satisfied, case.ask = frozenset(), None
        asking = tuple(
            number
            for number in sorted({*case.applied, *case.failed})
            if rules[number].decision is Decision.REQUIRE_APPROVAL and number not in self._dry_run
        )
        template = self._ask(asking)
        if template is None:
            return False
        ask = msgspec.structs.replace(
            template, request_digest=request_digest(case.claimed), audience=case.memory.audience
        )
        case.verdict = case.memory.check(ask, case.claimed, self._approvers)
        known = [self._approvers[name] for name in case.verdict.approvers]
        missing = missing_approvals(ask.quorum, known)
        case.ask = msgspec.structs.replace(
            ask, approvers=case.verdict.approvers, missing=missing, refused=case.verdict.refused
        )
        if missing:
            return False
        case.satisfied = frozenset(asking)
        return True

    def _ask(self, asking: tuple[int, ...]) -> Ask | None:
        """Return what these rules ask for together; None if one of them cannot be satisfied by grants."""
        ask = self._asks.get(asking)
        if ask is None:
            rules = [self._combiner.rules[number] for number in asking]
            approvals = [rule.approval for rule in rules if rule.approval is not None]
            if len(approvals) != len(rules):
                return None
            quorum: dict[str, int] = {}
            for approval in approvals:
                for team, count in approval.quorum.items():
                    quorum[team] = max(count, quorum.get(team, 0))
            ask = Ask(
                rules=tuple(rule.name for rule in rules),
                rules_digest=rules_digest(rules),
                request_digest="",
                quorum=quorum,
                expires_in_s=min(approval.expires_in_s for approval in approvals),
            )
            self._asks.put(asking, ask)
        return ask

    def _count(self, case: _Case) -> bool:
        """(5) Count an allowed request under every rate it falls under; False if that changes which rules apply.

        Whoever then is allowed all the same is counted under these too, so each is asked twice at most.
        """
        rules, now, unchanged = self._combiner.rules, case.request.now, True
        due, case.uncounted = case.uncounted, []
        for number in due:
            rule, (key, wait_s) = rules[number], case.rated[number]
            try:
                if case.memory.count(rule, key, now, reached=wait_s is not None):
                    continue
                case.rated[number] = key, case.memory.retry_after(rule, key, now) or 0.0
                case.applied = sorted({*case.applied, number})
                if wait_s is None:
                    case.uncounted.append(number)
            except ForgottenError as error:
                self._fail(case, number, error.message)
            unchanged = False
        if not unchanged:
            self._lift(case)
        return unchanged

    def _fail(self, case: _Case, number: int, why: str) -> None:
        if not self._combiner.rules[number].skip_errors:
            case.failed[number] = why

    def _complete(self, answer: Answer, case: _Case) -> Answer:
        """Add what circumstances say: errors, how long to wait, what is asked, and (6) what would have been."""
        rules = self._combiner.rules
        in_force = [number for number in sorted(case.failed) if number not in self._dry_run]
        answer.errors = [
            RuleError(rules[number].name, case.failed[number] or self._why(number, case.request))
            for number in in_force[:MAX_REPORTED_ERRORS]
        ]
        answer.exception = case.exception
        answer.approval = case.ask
        if answer.decision is Decision.THROTTLE:
            waits = (
                case.rated[number][1] or 0.0
                for number in case.applied
                if number in case.rated and number not in self._dry_run and rules[number].decision is Decision.THROTTLE
            )
            answer.retry_after_s = max(waits, default=None)
        if answer.decision is Decision.REQUIRE_APPROVAL and case.ask is not None and case.ask.refused:
            answer.reason_code = case.ask.refused[0].reason_code
        if not self._dry_run.isdisjoint((*case.applied, *case.failed)):
            would = self._combine(case.applied, sorted(case.failed), case.satisfied)
            answer.dry_run = DryRun(would.decision, would.matched_rule)
        return answer

    def _why(self, number: int, request: Request) -> str:
        """Return why a rule is in error. Its condition is compiled once (2 ms for a long one), not for each request."""

        def evaluate(condition: Condition, request: Request, data: Mapping[str, Any]) -> bool:
            holds = self._conditions.get(number)
            if holds is None:
                holds = compile_condition(condition, data)
                self._conditions.put(number, holds)
            return holds(request)

        return trace_rule(self._combiner.rules[number], request, self._data, evaluate=evaluate).error


def _spend(case: _Case) -> bool:
    """(5) Spend the grants that satisfied an ask; False if one could not be, and nothing is satisfied any more."""
    refused = case.memory.spend(case.verdict, case.request.now)
    if not refused:
        return True
    case.satisfied = frozenset()
    if case.ask is not None:
        refused = (*case.ask.refused, *refused)
        case.ask = msgspec.structs.replace(case.ask, refused=refused, approvers=(), missing=case.ask.quorum)
    return False
