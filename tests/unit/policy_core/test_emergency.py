"""What may be signed as an emergency entry, and what of it a host enforces."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_core.decision import PolicyRef
from policy_core.emergency import EmergencyError, check_entries, clauses_of, encode_deny, in_force, overlay_of
from policy_core.matcher import encode_rules, load
from policy_core.matcher.tightening import Overlay, tighten
from policy_core.model import AttributeTests, Clauses, Decision, Rule, TimeWindow
from policy_core.request import normalise
from policy_core.revoking import Revoked
from policy_core.testing import strategies
from policy_core.trust.errors import MetadataError
from policy_core.trust.oncall import Emergency, EmergencyKind

CREATED = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
EXPIRES = CREATED + timedelta(hours=1)
MATCH = Clauses(
    actions=("deploy.*", "café.*"),
    attributes={"resource.properties.size": AttributeTests(ge=2, eq=1e22)},
    none_of=Clauses(risk_tags=("canary",)),
)
RULE = encode_deny("freeze", reason="leaked key", match=MATCH)


def entry(rule=RULE, **changes):
    fields = {
        "id": "freeze", "kind": EmergencyKind.DENY, "rule": rule, "reason": "leaked key", "actor": "ana",
        "created": CREATED, "expires": EXPIRES,
    }  # fmt: skip
    return Emergency(**fields | changes)


def revocation(kind, target):
    return entry("", id=f"r-{kind.value.replace('_', '-')}", kind=kind, target=target)


def edited(**changes):
    """Return the signed text of a rule with other fields, as somebody with the key could sign it."""
    return json.dumps(json.loads(RULE) | changes, sort_keys=True, separators=(",", ":"))


def test_a_deny_comes_back_as_the_clauses_it_was_made_from():
    assert RULE.isascii()
    assert clauses_of(entry()) == {
        "match": {
            "actions": ["deploy.*", "café.*"],
            "attributes": {"resource.properties.size": {"eq": 1e22, "ge": 2}},
            "not": {"risk_tags": ["canary"]},
        }
    }


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (edited(decision="allow"), "is no plain deny (decision)"),
        (edited(decision="constrain", constraints={"max_targets": 1}), "is no plain deny (decision, constraints)"),
        (edited(policy="agents.production"), "is no plain deny (policy)"),
        (edited(id="other"), "is no plain deny (id)"),
        (edited(reason="all is well"), "is no plain deny (reason)"),
        (edited(reason_code="matched_rule"), "is no plain deny (reason_code)"),
        (edited(skip_errors=True), "is no plain deny (skip_errors)"),
        (edited(dry_run=True), "is no plain deny (dry_run)"),
        (edited(baseline=True), "is no plain deny (baseline)"),
        (edited(rate={"limit": 1, "window_s": 60, "key": ["subject.id"]}), "is no plain deny (rate)"),
        (edited(approval={"from": {"security": 1}, "expires_in_s": 60}), "is no plain deny (approval)"),
        (edited(gate="scope"), "is no plain deny (gate)"),
        (edited(remediations=[{"id": "x", "title": "y"}]), "is no plain deny (remediations)"),
        (edited(newer=1), "not a rule of a known form"),
        (edited(match={"newer": 1}), "not a rule of a known form"),
        (edited(when=["newer"]), "newer"),
        (edited(match={"attributes": {"context.ip": {"cidr": ["10.0.0.1/8"]}}}), "10.0.0.1/8"),
        (edited(match={"not": {"not": {"actions": ["a"]}}}), "a not inside a not"),
        (f"{RULE} ", "the one spelling"),
        (RULE.replace('"decision":"deny"', '"decision":"allow","decision":"deny"'), "the one spelling"),
        ("{}", "not a rule of a known form"),
        ("[" * 10_000, "not a rule of a known form"),
        ('{"match":' * 1_000, "not a rule of a known form"),
    ],
)
def test_a_rule_that_is_no_plain_deny_of_this_version_is_refused_by_name(rule, problem):
    with pytest.raises(EmergencyError) as refused:
        check_entries([entry(rule)])

    assert refused.value.message.startswith("emergency entry freeze: ")
    assert problem in refused.value.message


def test_a_deny_that_cannot_apply_before_it_expires_is_refused():
    match = Clauses(time=TimeWindow(after=EXPIRES.timestamp() + 1))
    rule = encode_deny("freeze", reason="leaked key", match=match)

    with pytest.raises(EmergencyError, match="never opens"):
        check_entries([entry(rule)])


def test_a_rule_does_not_end_later_than_its_entry_and_not_later_than_it_says():
    early = CREATED.timestamp() + 60
    own = encode_deny("freeze", reason="leaked key", match=Clauses(time=TimeWindow(before=early)))

    ends = [overlay_of([entry(rule)]).denies[0].match.time.before for rule in (RULE, own)]

    assert ends == [EXPIRES.timestamp(), early]


def test_revocations_become_sets_of_what_no_longer_counts():
    overlay = overlay_of(
        [
            revocation(EmergencyKind.REVOKE_EXCEPTION, "waiver-7"),
            revocation(EmergencyKind.REVOKE_APPROVER, "bo"),
            revocation(EmergencyKind.REVOKE_GRANT, "AB" * 16),
        ]
    )

    revoked = Revoked(exceptions=frozenset({"waiver-7"}), approvers=frozenset({"bo"}), grants=frozenset({"ab" * 16}))
    assert overlay == Overlay(revoked=revoked)


def test_a_revocation_has_no_rule():
    with pytest.raises(MetadataError, match="bad rule"):
        entry(kind=EmergencyKind.REVOKE_GRANT, target="x")


def test_an_entry_is_in_force_until_the_second_it_expires():
    moments = [EXPIRES.timestamp() - 0.001, EXPIRES.timestamp()]

    assert [len(in_force([entry()], now)) for now in moments] == [1, 0]


def test_an_entry_that_has_expired_need_not_be_readable():
    unreadable = entry("{}")

    check_entries(in_force([unreadable], EXPIRES.timestamp()))


ODD = [
    "null", "true", "-1", "0", "1e308", "1e999", "NaN", "99999999999999999999", "[]", '["x"]', "[[]]", "{}", '{"x":{}}',
    *('""', '"*"', '"["', '"../x"', '"America"', '"2026"', '"\\u0000"', '"\\ud800"'),
]  # fmt: skip


def _places(value, path=()):
    """Yield the path of everything in a JSON value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield from _places(each, (*path, key))


@settings(max_examples=examples(300, nightly=5_000), deadline=None)
@given(strategies.rules(), st.data())
def test_whatever_is_signed_as_a_rule_is_a_plain_deny_or_refused(drawn, data):
    clauses = {"match": drawn.match, "unless": drawn.unless, "when": drawn.when}
    rule = json.loads(encode_deny("freeze", reason="leaked key", **clauses))
    for _ in range(data.draw(st.integers(0, 3))):
        *path, last = data.draw(st.sampled_from([place for place in _places(rule) if place]))
        part = rule
        for key in path:
            part = part[key]
        part[last] = json.loads(data.draw(st.sampled_from(ODD)))
    text = json.dumps(rule, sort_keys=True, separators=(",", ":"))
    try:
        overlay = overlay_of([entry(text)])
    except (EmergencyError, MetadataError):
        return

    (deny,) = overlay.denies
    assert (deny.decision, deny.name, deny.skip_errors, deny.dry_run) == ("deny", "emergency/freeze", False, False)
    assert deny.match.time.before <= EXPIRES.timestamp()
    base = load(encode_rules([Rule("p", "allow", Decision.ALLOW)]), policy=PolicyRef(bundle="", revision=""))
    raw = data.draw(strategies.requests)
    answer = tighten(base, overlay).decide(normalise(raw, now=EXPIRES.timestamp(), host={}))
    assert answer.decision == "allow"  # it has ended
