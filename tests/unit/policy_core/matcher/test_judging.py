"""Rates, exceptions, classifications and approvals: what they change in an answer, and what they never do."""

import pytest

from policy_core.decision import PolicyRef, RefusedGrant
from policy_core.grants import Verdict
from policy_core.matcher import MatcherFormatError, encode_rules, load
from policy_core.memory import Assumed, ForgottenError, Oblivious
from policy_core.model import (
    Approval,
    Approver,
    AttributeTests,
    Classification,
    Clauses,
    Decision,
    EntityClauses,
    PolicyException,
    Provisions,
    Rate,
    Rule,
    TimeWindow,
)
from policy_core.request import normalise
from policy_core.testing.memory import PlainMemory

NOW = 1_790_000_000.0
POLICY = PolicyRef(bundle="sha256:0", revision="r")
APPROVERS = (
    Approver("ana", "a" * 64, ("security",), ("ana",)),
    Approver("bo", "b" * 64, ("platform",), ("bo",)),
)


def rule(name, decision, **fields):
    policy, _, identifier = name.partition("/")
    fields.setdefault("match", Clauses(actions=("service.restart",)))
    return Rule(policy=policy, id=identifier, decision=Decision(decision), **fields)


def matcher_of(*rules, **beside):
    beside.setdefault("approvers", APPROVERS)
    return load(
        encode_rules(sorted(rules, key=lambda rule: (not rule.baseline, rule.policy))),
        policy=POLICY,
        provisions=Provisions(**beside),
    )


def request(now=NOW, action="service.restart", resource="web", **context):
    raw = {
        "subject": {"type": "agent", "id": "bot"},
        "action": {"name": action},
        "resource": {"type": "service", "id": resource},
        "context": context,
    }
    return normalise(raw, now=now, host={})


ALLOW = rule("a/allow", "allow")
RATE = Rate(2, 3600, ("resource.id",))
LIMIT = rule("b/limit", "throttle", rate=RATE, reason="twice an hour")
ASK = rule("c/ask", "require_approval", approval=Approval({"security": 1, "platform": 1}, 3600))
DENY = rule("d/deny", "deny", reason_code="frozen")
BROKEN = Clauses(actions=("service.restart",), tenants=("acme",))
"""Clauses that are an error for a request without a tenant."""


def excepting(*rules, scope=None, starts=0, expires=2_000_000_000, name="e1"):
    return PolicyException(name, rules, scope or Clauses(), starts, expires)


class Racing(PlainMemory):
    """Another thread takes all places between the look and the first count."""

    def count(self, rule, key, now, *, reached):
        if not reached and not self.counted:
            for _ in range(rule.rate.limit):
                super().count(rule, key, NOW, reached=False)
            return False
        return super().count(rule, key, now, reached=reached)


class TestRates:
    def test_a_rate_throttles_once_it_is_reached_and_says_for_how_long(self):
        matcher, memory = matcher_of(ALLOW, LIMIT), PlainMemory()

        answers = [matcher.decide(request(NOW + minute * 60), memory=memory) for minute in range(3)]

        assert [answer.decision for answer in answers] == ["allow", "allow", "throttle"]
        assert answers[2].retry_after_s == 3480.0
        assert answers[2].matched_rule == "b/limit"
        assert matcher.decide(request(NOW + 3600), memory=memory).decision == "allow"

    def test_the_longest_wait_of_the_throttles_in_force_is_told(self):
        waits = (("b/short", 60, False), ("b/long", 600, False), ("c/later", 3600, True))
        throttles = [
            rule(name, "throttle", rate=Rate(1, window_s, ("resource.id",)), dry_run=dry_run)
            for name, window_s, dry_run in waits
        ]
        matcher, memory = matcher_of(ALLOW, *throttles), PlainMemory()
        matcher.decide(request(), memory=memory)

        assert matcher.decide(request(NOW + 10), memory=memory).retry_after_s == 590.0

    def test_only_requests_that_are_let_run_are_counted(self):
        matcher, memory = matcher_of(ALLOW, LIMIT, DENY), PlainMemory()

        matcher.decide(request(), memory=memory)

        assert memory.counted == []

    def test_a_rated_rule_that_only_narrows_goes_on_counting(self):
        cap = rule("b/cap", "constrain", rate=Rate(1, 60, ("resource.id",)), constraints={"max_targets": 1})
        matcher, memory = matcher_of(ALLOW, cap), PlainMemory()

        answers = [matcher.decide(request(NOW + second), memory=memory) for second in (0, 50, 100, 161)]

        assert [answer.constraints for answer in answers] == [{}, {"max_targets": 1}, {"max_targets": 1}, {}]

    def test_a_rate_whose_key_is_missing_denies(self):
        limit = rule("b/limit", "throttle", rate=Rate(2, 60, ("context.tenant",)))

        answer = matcher_of(ALLOW, limit).decide(request(), memory=PlainMemory())

        assert (answer.decision, answer.reason_code) == ("deny", "evaluation_error")
        assert answer.errors[0].message == "context.tenant: absent"

    def test_a_missing_fact_under_a_rate_denies_even_while_the_rate_is_not_reached(self):
        limit = rule("b/limit", "throttle", match=BROKEN, rate=RATE)

        assert matcher_of(ALLOW, limit).decide(request(), memory=PlainMemory()).reason_code == "evaluation_error"

    def test_what_cannot_be_counted_is_not_allowed(self):
        class Full(PlainMemory):
            def count(self, rule, key, now, *, reached):
                raise ForgottenError("rates: the disk is full")

        answer = matcher_of(ALLOW, LIMIT).decide(request(), memory=Full())

        assert (answer.decision, answer.allowed) == ("deny", False)
        assert answer.errors[0].message == "rates: the disk is full"

    def test_a_race_for_the_last_place_is_lost_by_the_second(self):
        class Lost(PlainMemory):
            def count(self, rule, key, now, *, reached):
                for _ in range(2):
                    super().count(rule, key, now, reached=False)
                return False

        answer = matcher_of(ALLOW, LIMIT).decide(request(), memory=Lost())

        assert (answer.decision, answer.retry_after_s) == ("throttle", 3600.0)

    @pytest.mark.parametrize(
        ("raced", "beside"),
        [
            (rule("b/cap", "constrain", rate=RATE, constraints={"max_targets": 1}), {}),
            (LIMIT, {"exceptions": (PolicyException("e1", ("b/limit",), Clauses(), 0, 2_000_000_000),)}),
            (rule("b/limit", "throttle", rate=RATE, dry_run=True), {}),
        ],
        ids=["narrowing", "excepted", "dry-run"],
    )
    def test_what_is_allowed_though_the_race_is_lost_is_counted_once(self, raced, beside):
        memory = Racing()

        answer = matcher_of(ALLOW, raced, **beside).decide(request(NOW + 1), memory=memory)

        assert answer.allowed
        assert [at for *_, at in memory.counted] == [NOW, NOW, NOW + 1]

    def test_an_ask_that_begins_with_a_lost_race_says_what_is_asked(self):
        often = rule("b/often", "require_approval", rate=RATE, approval=Approval({"security": 1}, 60))

        answer = matcher_of(ALLOW, often).decide(request(), memory=Racing())

        assert (answer.decision, answer.approval.rules) == ("require_approval", ("b/often",))

    def test_an_ask_that_joins_another_by_a_lost_race_is_not_satisfied_by_its_grants(self):
        class Approved(Racing):
            def check(self, ask, request, approvers):
                return Verdict(("ana", "bo") if ask.rules == ("c/ask",) else ())

        often = rule("b/often", "require_approval", rate=RATE, approval=Approval({"security": 1}, 60))

        answer = matcher_of(ASK, often).decide(request(), memory=Approved())

        assert (answer.decision, answer.approval.rules) == ("require_approval", ("b/often", "c/ask"))
        assert answer.approval.missing == {"security": 1, "platform": 1}

    def test_without_a_memory_nothing_is_counted(self):
        matcher = matcher_of(ALLOW, LIMIT)

        assert {matcher.decide(request()).decision for _ in range(5)} == {"allow"}

    def test_on_missing_skip_lets_a_rate_that_cannot_be_told_not_apply(self):
        limit = rule("b/limit", "throttle", rate=Rate(2, 60, ("context.tenant",)), skip_errors=True)

        assert matcher_of(ALLOW, limit).decide(request(), memory=PlainMemory()).decision == "allow"

    def test_a_dry_run_rate_is_counted_and_reported_and_throttles_nothing(self):
        matcher, memory = matcher_of(ALLOW, rule("b/limit", "throttle", rate=RATE, dry_run=True)), PlainMemory()

        answers = [matcher.decide(request(), memory=memory) for _ in range(3)]

        assert [answer.decision for answer in answers] == ["allow"] * 3
        assert answers[2].dry_run.decision == "throttle"


class TestExceptions:
    def test_an_exception_switches_its_rule_off_and_is_named(self):
        answer = matcher_of(ALLOW, DENY, exceptions=(excepting("d/deny"),)).decide(request())

        assert (answer.decision, answer.exception) == ("allow", "e1")
        assert answer.applied_rules == ["a/allow"]

    @pytest.mark.parametrize(
        ("now", "decision"), [(99.0, "deny"), (100.0, "allow"), (199.9, "allow"), (200.0, "deny"), (1e10, "deny")]
    )
    def test_an_exception_is_in_force_from_its_start_until_it_expires(self, now, decision):
        matcher = matcher_of(ALLOW, DENY, exceptions=(excepting("d/deny", starts=100, expires=200),))

        assert matcher.decide(request(now)).decision == decision

    def test_an_exception_holds_in_its_scope_only(self):
        scope = Clauses(resource=EntityClauses(ids=("web",)))
        matcher = matcher_of(ALLOW, DENY, exceptions=(excepting("d/deny", scope=scope),))

        assert matcher.decide(request(resource="web")).decision == "allow"
        assert matcher.decide(request(resource="db")).decision == "deny"

    def test_an_exception_whose_scope_cannot_be_told_does_not_hold(self):
        scope = Clauses(tenants=("acme",))

        assert (
            matcher_of(ALLOW, DENY, exceptions=(excepting("d/deny", scope=scope),)).decide(request()).allowed is False
        )

    def test_an_exception_also_lifts_a_rule_in_error(self):
        deny = rule("d/deny", "deny", match=BROKEN)

        assert matcher_of(ALLOW, deny, exceptions=(excepting("d/deny"),)).decide(request()).decision == "allow"

    def test_an_exception_that_lifts_nothing_is_not_named(self):
        assert matcher_of(ALLOW, LIMIT, exceptions=(excepting("b/limit"),)).decide(request()).exception == ""

    def test_an_exception_grants_nothing_by_itself(self):
        assert matcher_of(DENY, exceptions=(excepting("d/deny"),)).decide(request()).reason_code == "no_matching_rule"

    @pytest.mark.parametrize(
        ("rules", "named"),
        [
            ((rule("d/deny", "deny", baseline=True),), "d/deny"),
            ((ALLOW,), "a/allow"),
            ((ALLOW,), "a/no-such-rule"),
        ],
    )
    def test_a_bundle_whose_exception_names_what_it_cannot_lift_is_refused(self, rules, named):
        with pytest.raises(MatcherFormatError, match=f"exception e1: cannot switch off rule {named}"):
            matcher_of(*rules, exceptions=(excepting(named),))

    @pytest.mark.parametrize(
        "scope",
        [
            Clauses(none_of=Clauses(actions=("no",), none_of=Clauses(actions=("service.*",)))),
            Clauses(time=TimeWindow(days=("mon",), tz="No/Where")),
            Clauses(attributes={"context.x": AttributeTests(regex=("(",))}),
            Clauses(attributes={"nothing.x": AttributeTests(eq=1)}),
        ],
    )
    def test_a_bundle_whose_exception_has_a_scope_no_rule_could_have_is_refused(self, scope):
        with pytest.raises(MatcherFormatError, match=r"^exception e1: "):
            matcher_of(ALLOW, DENY, exceptions=(excepting("d/deny", scope=scope),))


class TestClassifications:
    WRITES = Classification("db/writes", ("write", "prod"), actions=("service.*",), resource_ids=("web",))

    def tagged(self, **clauses):
        deny = rule("d/deny", "deny", match=Clauses(**clauses))
        return matcher_of(ALLOW, deny, classifications=(self.WRITES,))

    def test_a_tag_is_carried_whatever_the_caller_claims(self):
        matcher = self.tagged(risk_tags=("write",))

        assert matcher.decide(request()).decision == "deny"
        assert matcher.decide(request(risk_tags=[])).decision == "deny"
        assert matcher.decide(request(resource="db")).decision == "allow"

    def test_tags_are_united_with_those_claimed(self):
        matcher = self.tagged(risk_tags=("write", "claimed"))

        assert matcher.decide(request(risk_tags=["claimed"])).decision == "deny"

    def test_conditions_and_attributes_see_them_too(self):
        condition = ["in", "write", ["var", "context", "risk_tags"]]
        deny = rule("d/deny", "deny", when=condition)
        matcher = matcher_of(ALLOW, deny, classifications=(self.WRITES,))

        assert matcher.decide(request()).matched_rule == "d/deny"

    def test_a_claim_of_the_wrong_type_stays_an_error(self):
        answer = self.tagged(risk_tags=("write",)).decide(request(risk_tags="write"))

        assert answer.reason_code == "evaluation_error"

    def test_the_request_itself_stays_as_it_came(self):
        asked = request(risk_tags=["claimed"])

        self.tagged(risk_tags=("write",)).decide(asked)

        assert (asked.tags, asked.context["risk_tags"]) == (frozenset({"claimed"}), ["claimed"])


class TestApprovals:
    def test_an_ask_says_what_is_asked_for(self):
        answer = matcher_of(ASK).decide(request())

        assert (answer.decision, answer.allowed) == ("require_approval", False)
        assert answer.approval.rules == ("c/ask",)
        assert answer.approval.quorum == answer.approval.missing == {"security": 1, "platform": 1}
        assert answer.approval.rules_digest.startswith("sha256:")
        assert answer.approval.request_digest.startswith("sha256:")

    def test_a_quorum_lets_the_action_run_though_no_rule_grants_it(self):
        answer = matcher_of(ASK).decide(request(), memory=Assumed({}, ("ana", "bo")))

        assert (answer.decision, answer.reason_code, answer.matched_rule) == ("allow", "approved", "c/ask")
        assert answer.approval.approvers == ("ana", "bo")

    def test_half_a_quorum_lets_nothing_run(self):
        answer = matcher_of(ALLOW, ASK).decide(request(), memory=Assumed({}, ("ana",)))

        assert answer.decision == "require_approval"
        assert answer.approval.missing == {"platform": 1}

    def test_an_approval_overrules_no_deny_and_no_throttle(self):
        approved = Assumed({"b/limit": 2}, ("ana", "bo"))

        assert matcher_of(ASK, DENY).decide(request(), memory=approved).decision == "deny"
        assert matcher_of(ASK, LIMIT).decide(request(), memory=approved).decision == "throttle"

    def test_rules_that_ask_together_ask_for_the_larger_quorum_and_the_shorter_time(self):
        other = rule("c/more", "require_approval", approval=Approval({"security": 2}, 60))

        ask = matcher_of(ASK, other).decide(request()).approval

        assert (ask.rules, ask.quorum, ask.expires_in_s) == (("c/ask", "c/more"), {"security": 2, "platform": 1}, 60)

    def test_a_rule_that_takes_no_grants_leaves_nothing_to_grant(self):
        plain = rule("c/plain", "require_approval")

        answer = matcher_of(ASK, plain).decide(request(), memory=Assumed({}, ("ana", "bo")))

        assert (answer.decision, answer.approval) == ("require_approval", None)

    def test_an_ask_in_error_can_be_approved_but_grants_nothing_by_itself(self):
        ask = rule("c/ask", "require_approval", match=BROKEN, approval=Approval({"security": 1}, 60))
        approved = Assumed({}, ("ana",))

        assert matcher_of(ask).decide(request()).decision == "require_approval"
        assert matcher_of(ask).decide(request(), memory=approved).reason_code == "no_matching_rule"
        assert matcher_of(ALLOW, ask).decide(request(), memory=approved).matched_rule == "a/allow"

    def test_constraints_hold_for_what_is_approved(self):
        cap = rule("e/cap", "constrain", constraints={"max_targets": 1})

        answer = matcher_of(ASK, cap).decide(request(), memory=Assumed({}, ("ana", "bo")))

        assert (answer.decision, answer.constraints) == ("allow_with_constraints", {"max_targets": 1})

    def test_grants_are_spent_by_an_answer_that_allows_and_by_no_other(self):
        class Watching(Assumed):
            def spend(self, verdict, now):
                spent.append(verdict.approvers)
                return ()

        spent, memory = [], Watching({}, ("ana", "bo"))
        matcher_of(ASK, DENY).decide(request(), memory=memory)
        matcher_of(ASK, rule("b/slow", "throttle")).decide(request(), memory=memory)
        assert spent == []

        matcher_of(ASK).decide(request(), memory=memory)
        assert spent == [("ana", "bo")]

    def test_a_grant_that_cannot_be_spent_lets_nothing_run(self):
        class Raced(Oblivious):
            def check(self, ask, request, approvers):
                return Verdict(("ana", "bo"))

            def spend(self, verdict, now):
                return (RefusedGrant(0, "grant_replayed", "this grant was used already"),)

        answer = matcher_of(ALLOW, ASK).decide(request(), memory=Raced())

        assert (answer.decision, answer.allowed, answer.reason_code) == ("require_approval", False, "grant_replayed")
        assert answer.approval.approvers == ()
        assert answer.approval.missing == {"security": 1, "platform": 1}

    def test_a_dry_run_ask_is_satisfied_by_nobody(self):
        ask = rule("c/later", "require_approval", approval=Approval({"security": 1}, 60), dry_run=True)

        answer = matcher_of(ALLOW, ask).decide(request(), memory=Assumed({}, ("ana",)))

        assert (answer.decision, answer.dry_run.decision) == ("allow", "require_approval")

    def test_a_tag_the_policy_adds_is_no_part_of_what_is_approved(self):
        tags = Classification("c", ("write",))
        plain, classified = matcher_of(ASK), matcher_of(ASK, classifications=(tags,))

        digests = {matcher.decide(request()).approval.request_digest for matcher in (plain, classified)}

        assert len(digests) == 1

    @pytest.mark.parametrize(
        "made",
        [
            lambda: rule("a/x", "allow", rate=RATE),
            lambda: rule("a/x", "deny", approval=Approval({"security": 1}, 60)),
            lambda: rule("a/x", "throttle", rate=Rate(0, 60, ("resource.id",))),
            lambda: rule("a/x", "require_approval", approval=Approval({}, 60)),
        ],
    )
    def test_a_bundle_with_a_rate_or_approval_out_of_place_is_refused(self, made):
        with pytest.raises(MatcherFormatError, match="matcher: rule a/x: "):
            matcher_of(made())


def test_an_exception_scoped_by_attributes_uses_the_whole_language():
    scope = Clauses(attributes={"resource.id": AttributeTests(prefix=("we",))})

    assert matcher_of(ALLOW, DENY, exceptions=(excepting("d/deny", scope=scope),)).decide(request()).allowed
