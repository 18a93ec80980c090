"""What lint says makes no difference makes none: rules are taken out, and every decision stays what it was."""

import datetime
from typing import Any

import msgspec
from effort import examples
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from builder.compiling import Compiled
from builder.language.codes import Code
from builder.language.project import Project
from builder.linting.facets import rule_facets
from builder.linting.inspection import Inspection
from builder.linting.reachability import find_unreachable
from builder.linting.redundancy import find_covered, find_duplicates
from builder.schemas.declarations import Declarations
from builder.source import PolicyTree
from policy_core.decision import PolicyRef
from policy_core.model import CONSTRAINING, Clauses, Decision, Provisions, Rule
from policy_core.request import normalise
from policy_core.testing import oracle
from policy_core.testing.strategies import MOMENTS, clauses, policies, requests

POLICY = PolicyRef(bundle="sha256:0", revision="r")
DATA = {"limits": {"restarts": 3}, "teams": ["sre", "dba"]}


def inspect(rules: list[Rule]) -> Inspection:
    """Return rules as lint sees them, each written in a line of its own."""
    compiled = Compiled(
        tree=PolicyTree("1" * 40, False, {}), project=Project("a", "file:///a", ("prod",)), documents=(), classify=(),
        exceptions=(), rules=tuple(rules), provisions=Provisions(data=DATA), declarations=Declarations(), suites=(),
        warnings=(),
    )  # fmt: skip
    places = {rule.name: f"policies/a.yaml:{number}" for number, rule in enumerate(rules)}
    return Inspection(compiled, datetime.date(2026, 6, 1), {rule.name: rule_facets(rule) for rule in rules}, places)


@st.composite
def repetitive(draw: st.DrawFn) -> list[Rule]:
    """Draw a policy in which rules often ask what another one asks, or that and more."""
    drawn = draw(policies(most=5))
    extra = []
    for number, rule in enumerate(drawn):
        decision = draw(st.sampled_from([rule.decision, Decision.ALLOW, Decision.CONSTRAIN, Decision.REQUIRE_APPROVAL]))
        more: Clauses = draw(clauses)
        names = draw(st.sets(st.sampled_from(["actions", "risk_tags", "time", "labels"])))
        added = {name: getattr(more, name) for name in names if not getattr(rule.match, name)}
        match = msgspec.structs.replace(rule.match, **added)
        extra.append(
            msgspec.structs.replace(
                rule,
                id=f"x{number}",
                decision=decision,
                match=match,
                rate=rule.rate if decision == rule.decision else None,
                approval=rule.approval if decision == rule.decision else None,
                constraints=(rule.constraints or {"max_retries": 1}) if decision in CONSTRAINING else {},
                remediations=(),
            )
        )
    return sorted([*drawn, *extra], key=lambda rule: (not rule.baseline, rule.policy))


def decided(rules: list[Rule], raw: dict[str, Any], now: float) -> tuple[Any, ...]:
    """Return what an answer decides; which rules it names does not count."""
    provisions = Provisions(data=DATA)
    answer = oracle.decide(rules, normalise(raw, now=now, host={}), policy=POLICY, provisions=provisions)
    return answer.decision, answer.constraints, answer.dry_run and answer.dry_run.decision


@given(rules=repetitive(), raw=st.lists(requests, min_size=8, max_size=8))
@settings(
    max_examples=examples(60, nightly=2_000), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
def test_a_rule_without_effect_can_go(rules: list[Rule], raw: list[dict[str, Any]]) -> None:
    inspection = inspect(rules)
    by_place = {place: name for name, place in inspection.places.items()}
    findings = [*find_duplicates(inspection), *find_covered(inspection)]
    findings += [
        found for found in find_unreachable(inspection) if _allows(rules, by_place[f"{found.file}:{found.line}"])
    ]
    event(f"codes: {sorted({found.code for found in findings})}")

    for found in findings:
        name = by_place[f"{found.file}:{found.line}"]
        others = [rule for rule in rules if rule.name != name]
        for request, now in zip(raw, MOMENTS, strict=False):
            before, after = decided(rules, request, now), decided(others, request, now)
            assert before[:2] == after[:2], (Code(found.code), name)
            assert before[2] == after[2] or None in (before[2], after[2]), (Code(found.code), name)


def _allows(rules: list[Rule], name: str) -> bool:
    """Tell whether a rule does nothing where it is an error: what restricts or narrows does so then."""
    return next(rule for rule in rules if rule.name == name).decision is Decision.ALLOW
