"""``matcher.jsonl``: canonical when written, strict when read."""

import pytest
from hypothesis import HealthCheck, given, settings

from policy_core.errors import InvalidError
from policy_core.matcher import MatcherFormatError, decode_rules, encode_rules
from policy_core.matcher.encoding import MAX_LINE_BYTES
from policy_core.model import AttributeTests, Clauses, Decision, Rule
from policy_core.testing.strategies import policies


def _rule(policy="a", **fields):
    return Rule(policy=policy, id="r", decision=fields.pop("decision", Decision.ALLOW), **fields)


def _decoded(content):
    return [rule for line in decode_rules(content) for rule in line]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies())
def test_every_field_survives_the_round_trip(rules):
    decoded = _decoded(encode_rules(rules))

    assert decoded == rules
    assert encode_rules(decoded) == encode_rules(rules)


def test_lines_stay_within_the_limit():
    content = encode_rules([_rule(f"p{number:05}", reason="x" * 500) for number in range(1000)])

    assert max(map(len, content.split(b"\n"))) <= MAX_LINE_BYTES
    assert len(_decoded(content)) == 1000


def test_a_rule_too_large_for_a_line_is_refused_by_name():
    with pytest.raises(MatcherFormatError, match="rule a/r: too large"):
        encode_rules([_rule(match=Clauses(tenants=tuple(f"tenant-{number:020}" for number in range(5000))))])


GOOD = encode_rules([_rule()])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        GOOD[:-1],
        GOOD.replace(b'"format":1', b'"format":2'),
        GOOD.replace(b'"rules":1', b'"rules":2'),
        GOOD.replace(b'"rules":1', b'"rules":-1'),
        GOOD.replace(b'"decision"', b'"surprise"'),
        GOOD.replace(b'"allow"', b'"perhaps"'),
        GOOD.replace(b'"policy":"a"', b'"policy":7'),
        GOOD.replace(b"[{", b'[{"surprise":true,'),
        GOOD[:-1] + b" " * MAX_LINE_BYTES + b"\n",
        b"\xff\xfe" + GOOD,
        b"[" * 100_000 + b"\n",
        GOOD.replace(b'"policy":"a"', b'"policy":"\xff"'),
        GOOD.replace(b"[{", b'[{"when":' + b"[" * 10_000),
        encode_rules([_rule("b"), _rule("c")]).replace(b'"policy":"c"', b'"policy":"a"'),
        encode_rules([_rule("a"), _rule("b", baseline=True)]),
        encode_rules([_rule(match=Clauses(none_of=Clauses(none_of=Clauses(actions=("a",)))))]),
        encode_rules([_rule(unless=Clauses(attributes={"host.env": AttributeTests(eq="prod")}))]),
        encode_rules([_rule(match=Clauses(none_of=Clauses(attributes={"context.a": AttributeTests(regex=("(",))})))]),
        encode_rules([_rule(when=["no such operator"])]),
        encode_rules([_rule(constraints={"max_retries": 3})]),
        encode_rules([_rule(decision=Decision.CONSTRAIN)]),
        encode_rules([_rule(decision=Decision.CONSTRAIN, constraints={"max_rocks": 3})]),
    ],
)
def test_what_the_builder_would_not_write_is_refused(content):
    with pytest.raises(InvalidError):
        _decoded(content)
