"""Rules that share equal parts say what they said before."""

import msgspec
from effort import examples
from hypothesis import HealthCheck, given, settings

from policy_core.matcher.sharing import Sharer
from policy_core.model import AttributeTests, Clauses, Decision, EntityClauses, Rule
from policy_core.testing.strategies import policies

encode = msgspec.json.encode


def shared(*rules):
    sharer = Sharer()
    own = [msgspec.json.decode(encode(rule), type=Rule) for rule in rules]
    for rule in own:
        sharer.share(rule)
    return own


@settings(
    max_examples=examples(60, nightly=1_000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(policies())
def test_sharing_changes_no_rule(rules):
    assert [encode(rule) for rule in shared(*rules)] == [encode(rule) for rule in rules]


def test_what_is_equal_is_one_object():
    match = Clauses(actions=("act.*",), subject=EntityClauses(roles=("sre",)), labels={"env": "prod"})
    rules = [
        Rule("team", f"r{number}", Decision.DENY, match=match, when=["var", "context", "x"]) for number in range(2)
    ]

    one, other = shared(*rules)

    assert one.policy is other.policy
    assert one.when is other.when
    assert one.match.actions is other.match.actions
    assert one.match.labels is other.match.labels
    assert one.match.subject.roles is other.match.subject.roles
    assert one.constraints is other.match.attributes


def test_values_that_only_python_holds_equal_stay_apart():
    values = [1, 1.0, True]
    rules = [
        Rule(
            "team", f"r{number}", Decision.ALLOW_WITH_CONSTRAINTS,
            match=Clauses(
                subject=EntityClauses(properties={"size": (value,)}), attributes={"context.n": AttributeTests(eq=value)}
            ),
            when=["==", ["var", "context", "n"], value],
            constraints={"x_n": value},
        )
        for number, value in enumerate(values)
    ]  # fmt: skip

    own = shared(*rules)

    assert [type(rule.constraints["x_n"]) for rule in own] == [int, float, bool]
    assert [type(rule.match.subject.properties["size"][0]) for rule in own] == [int, float, bool]
    assert [type(rule.match.attributes["context.n"].eq) for rule in own] == [int, float, bool]
    assert [type(rule.when[2]) for rule in own] == [int, float, bool]
