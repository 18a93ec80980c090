"""Hypothesis strategies for runs in which requests meet again: rates fill, exceptions hold, asks are satisfied.

Rules and requests drawn at large hardly ever agree on so much. Here all rules are about a few actions, something is
always granted, and callers are few.
"""

from typing import Any

from hypothesis import strategies as st

from policy_core.model import (
    GRANTING,
    Approval,
    AttributeTests,
    Classification,
    Clauses,
    Decision,
    EntityClauses,
    PolicyException,
    Provisions,
    Rate,
    RateScope,
    Rule,
)
from policy_core.testing.strategies import APPROVERS

START = 1_790_000_000.0
STEP_S = 40.0
"""Between two requests of a run; the windows below are a few steps, exactly, or many."""

_broken = Clauses(tenants=("acme",))
"""An error without a tenant."""
_narrow = [
    _broken,
    Clauses(risk_tags=("prod",)),
    Clauses(resource=EntityClauses(ids=("web",))),
    Clauses(none_of=Clauses(subject=EntityClauses(ids=("bot",)))),
    Clauses(attributes={"context.count": AttributeTests(ge=2)}),
]
_wide = [Clauses(), Clauses(actions=("service.*",))]
_clauses = st.sampled_from([*_wide, *_wide, *_narrow])
_rates = st.builds(
    Rate,
    limit=st.integers(1, 3),
    window_s=st.sampled_from([60, 120, 3_600]),
    key=st.sampled_from([("subject.id",), ("resource.id",), ("resource.id", "subject.id"), ("context.tenant",)]),
    scope=st.sampled_from(list(RateScope)),
)
_approvals = st.builds(
    Approval,
    quorum=st.sampled_from([{"security": 1}, {"security": 2}, {"platform": 1}, {"security": 1, "platform": 1}]),
    expires_in_s=st.sampled_from([60, 3_600]),
)
_RESTRICTIONS = [
    Decision.REQUIRE_APPROVAL,
    Decision.REQUIRE_APPROVAL,
    Decision.THROTTLE,
    Decision.THROTTLE,
    Decision.THROTTLE,
    Decision.CONSTRAIN,
    Decision.DENY,
]
_constraints: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"max_targets": 1}, {"max_targets": 2}, {"run_as": "bot"}, {"run_as": "root"}]
)


@st.composite
def _restrictions(draw: st.DrawFn) -> Rule:
    """Draw a rule that does not grant; one that denies is rated or narrow, or else nothing would ever happen."""
    decision = draw(st.sampled_from(_RESTRICTIONS))
    asks = decision is Decision.REQUIRE_APPROVAL
    rate = draw(st.one_of(st.none(), st.none(), _rates) if asks else st.one_of(st.none(), _rates, _rates))
    final = decision in (Decision.DENY, Decision.THROTTLE) and rate is None
    return Rule(
        policy="",
        id="",
        decision=decision,
        match=draw(st.sampled_from(_narrow) if final else st.one_of(_clauses, st.just(_broken)) if asks else _clauses),
        rate=rate,
        approval=draw(st.one_of(*[_approvals] * 9, st.none())) if asks else None,
        constraints=draw(_constraints) if decision is Decision.CONSTRAIN else {},
        gate=draw(st.sampled_from(["", "scope"])),
        skip_errors=draw(st.sampled_from([False, False, True])),
    )


_grants = st.builds(
    lambda match, constraints: Rule(
        "", "", Decision.ALLOW_WITH_CONSTRAINTS if constraints else Decision.ALLOW, match, constraints=constraints
    ),
    _clauses,
    st.one_of(st.just({}), _constraints),
)


@st.composite
def policies(draw: st.DrawFn) -> list[Rule]:
    """Draw the rules of a policy, in order; of its documents one may be baseline, and one dry-run."""
    drawn = [draw(_grants), *draw(st.lists(_restrictions(), min_size=2, max_size=7))]
    kinds = draw(st.permutations(["baseline", "dry_run", *[""] * 4]))
    named = []
    for number, rule in enumerate(drawn):
        kind = kinds[number % len(kinds)] if number else ""
        fields = {"policy": f"doc{number}", "id": "r", "baseline": kind == "baseline", "dry_run": kind == "dry_run"}
        named.append(Rule(**{name: getattr(rule, name) for name in rule.__struct_fields__} | fields))
    return sorted(named, key=lambda rule: not rule.baseline)


@st.composite
def provisions(draw: st.DrawFn, policy: list[Rule], data: dict[str, Any]) -> Provisions:
    """Draw what goes with the rules of a policy; exceptions begin and end in the middle of a run."""
    liftable = [rule.name for rule in policy if not rule.baseline and rule.decision not in GRANTING]
    middle = int(START + 8 * STEP_S)
    exceptions = st.builds(
        PolicyException,
        id=st.sampled_from(["e1", "e2"]),
        rules=st.lists(st.sampled_from(liftable), min_size=1, max_size=2, unique=True).map(tuple),
        scope=_clauses,
        starts=st.sampled_from([0, 0, middle]),
        expires=st.sampled_from([middle, 2_000_000_000]),
    )
    classifications = st.builds(
        Classification,
        name=st.just("c"),
        risk_tags=st.just(("prod",)),
        actions=st.sampled_from([(), ("service.restart",)]),
        resource_ids=st.sampled_from([(), ("web",)]),
    )
    return Provisions(
        data=data,
        exceptions=draw(st.lists(exceptions, max_size=2).map(tuple)) if liftable else (),
        classifications=draw(st.lists(classifications, max_size=1).map(tuple)),
        approvers=APPROVERS,
    )


_approving = st.lists(st.sampled_from([approver.id for approver in APPROVERS]), min_size=1, max_size=3, unique=True)
requests = st.builds(
    lambda action, subject, resource, context: {
        "subject": {"type": "agent", "id": subject},
        "action": {"name": action},
        "resource": {"type": "service", "id": resource},
        "context": context,
    },
    st.sampled_from(["service.restart", "service.restart", "service.read"]),
    st.sampled_from(["agent", "agent", "bot"]),
    st.sampled_from(["web", "web", "db"]),
    st.fixed_dictionaries(
        {
            "approved_by": st.one_of(st.just([]), _approving, _approving, st.just(["ana", "bo", "cy", "di"])),
            "tenant": st.sampled_from(["acme", "acme", "other", None]),
        },
        optional={"risk_tags": st.sampled_from([["prod"], ["prod"], [], "prod"]), "count": st.integers(0, 3)},
    ),
)
