"""Grants: what is signed is what passes, once, for the one it is for, and never by whoever asks."""

import base64
import itertools
import json
import time

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from policy_core.decision import Ask
from policy_core.errors import RemoteError
from policy_core.grants import (
    MAX_GRANTS,
    Grant,
    check_approval,
    check_grants,
    encode_grant,
    missing_approvals,
    request_digest,
    rules_digest,
)
from policy_core.model import Approval, Approver, Clauses, Decision, Rule
from policy_core.request import normalise

NOW = 1_790_000_000
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"-")) for name in ("ana", "bo", "eve")}
APPROVERS = {
    "ana": Approver("ana", KEYS["ana"].public_key().public_bytes_raw().hex(), ("security",), ("ana", "ana@laptop")),
    "bo": Approver("bo", KEYS["bo"].public_key().public_bytes_raw().hex(), ("platform",), ("bo",)),
}
RULE = Rule("p", "ask", Decision.REQUIRE_APPROVAL, approval=Approval({"security": 1}, 3600))


def request(*grants, subject="agent-7", on_behalf_of=None, **context):
    properties = {} if on_behalf_of is None else {"on_behalf_of": on_behalf_of}
    raw = {
        "subject": {"type": "agent", "id": subject, "properties": properties},
        "action": {"name": "service.restart"},
        "resource": {"type": "service", "id": "web"},
        "context": {**context, "grants": list(grants)},
    }
    return normalise(raw, now=NOW, host={})


ASK = Ask(
    rules=("p/ask",), rules_digest=rules_digest([RULE]), request_digest=request_digest(request()),
    quorum={"security": 1}, expires_in_s=3600, audience="host-1",
)  # fmt: skip


def grant(by="ana", **changes):
    fields = {
        "key": KEYS[by].public_key().public_bytes_raw().hex(), "rules_digest": ASK.rules_digest,
        "request_digest": ASK.request_digest, "audience": "host-1", "issued": NOW - 60, "expires": NOW + 600,
        "nonce": "0123456789abcdef0123456789abcdef",
    }  # fmt: skip
    return encode_grant(Grant(**{**fields, **changes}), KEYS[by].sign)


def verdict(*grants, is_spent=lambda _grant: False, **circumstances):
    return check_grants(request(*grants, **circumstances), ASK, APPROVERS, is_spent=is_spent)


def refusals(*grants, **circumstances):
    found = verdict(*grants, **circumstances)
    assert found.approvers == ()
    return [refused.reason_code for refused in found.refused]


def test_a_grant_of_an_approver_counts():
    found = verdict(grant())

    assert (found.approvers, found.refused) == (("ana",), ())
    assert found.grants[0].nonce == "0123456789abcdef0123456789abcdef"


def test_a_grant_for_any_host_counts_on_this_one():
    assert verdict(grant(audience="any")).approvers == ("ana",)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (grant(by="eve"), "grant_foreign"),
        (grant(rules_digest="sha256:" + "0" * 64), "grant_other_rules"),
        (grant(request_digest="sha256:" + "0" * 64), "grant_other_request"),
        (grant(audience="host-2"), "grant_other_audience"),
        (grant(expires=NOW), "grant_expired"),
        (grant(issued=NOW - 3600, expires=NOW + 10**9), "grant_expired"),
        (grant(issued=NOW + 3600, expires=NOW + 7200), "grant_invalid"),
        (grant(nonce="short"), "grant_invalid"),
        (grant(nonce="é" * 32), "grant_invalid"),
        ("writ1.e30.e30", "grant_invalid"),
        ("", "grant_invalid"),
        (grant() + ".more", "grant_invalid"),
        ("x" * 100_000, "grant_invalid"),
        ({"grant": 1}, "grant_invalid"),
        (None, "grant_invalid"),
    ],
)
def test_a_grant_that_does_not_fit_is_refused_by_name(token, code):
    assert refusals(token) == [code]


def test_a_grant_claiming_the_key_of_another_is_refused():
    forged = Grant(APPROVERS["ana"].key, ASK.rules_digest, ASK.request_digest, "host-1", NOW, NOW + 600, "0" * 32)

    assert refusals(encode_grant(forged, KEYS["eve"].sign)) == ["grant_invalid"]


@pytest.mark.parametrize(
    "asked_by",
    [
        {"subject": "ana"},
        {"subject": "ana@laptop"},
        {"on_behalf_of": "ana"},
        {"on_behalf_of": ["bot", "ana"]},
        {"on_behalf_of": {"type": "user", "id": "ana"}},
        {"on_behalf_of": [{"id": "ana"}]},
        {"on_behalf_of": {"sub": "bot", "act": {"sub": "ana"}}},
        {"on_behalf_of": [["bot", ["ana"]]]},
        {"on_behalf_of": {"id": {"type": "user", "name": "ana"}}},
        {"subject": "Ana"},
        {"subject": "\uff41na "},
        {"on_behalf_of": "ANA@Laptop"},
    ],
)
def test_nobody_approves_what_they_ask_for(asked_by):
    assert refusals(grant(), **asked_by) == ["grant_self_approved"]


@pytest.mark.parametrize("text", ["\u0301\u0323" * 250_000, "\ufdfa" * 340_000])
def test_a_text_that_is_no_name_takes_no_time(text):
    before = time.thread_time()

    assert verdict(grant(), on_behalf_of=text).approvers == ("ana",)
    assert time.thread_time() - before < 2.0


def test_blanks_around_a_name_hide_nobody():
    assert refusals(grant(), on_behalf_of=" " * 10_000 + "ana" + " " * 10_000) == ["grant_self_approved"]


def test_a_spent_grant_is_refused():
    assert refusals(grant(), is_spent=lambda _grant: True) == ["grant_replayed"]


def test_a_grant_is_refused_where_nobody_knows_whether_it_is_spent():
    def unknown(grant):
        raise RemoteError("fleet store: cannot be reached")

    assert refusals(grant(), is_spent=unknown) == ["grant_unverifiable"]


def test_two_grants_of_one_approver_count_once():
    found = verdict(grant(), grant(nonce="f" * 32))

    assert found.approvers == ("ana",)
    assert [each.nonce[0] for each in found.grants] == ["0"]


def test_more_grants_than_the_limit_are_not_even_looked_at():
    found = verdict(*["no"] * 10_000)

    assert len(found.refused) == MAX_GRANTS + 1
    assert "too many" in found.refused[-1].message


def test_any_other_request_has_another_digest():
    others = [request(ticket="T-1"), request(subject="agent-8"), request(on_behalf_of="cy")]

    assert len({request_digest(other) for other in [request(), *others]}) == 4


def test_requests_that_look_alike_have_digests_of_their_own():
    values = [1, 1.0, True, "1", None, [1], ["1"], [[1]], {"1": 1}, {"a": 1}, "", [], {}, "é", "e\u0301"]
    shapes = [{"a": value} for value in values] + [{"b": 1}, {"a": 1, "b": 1}, {"a,b": 1}]
    parts = [
        {"subject": {"type": "a", "id": "b"}, "action": {"name": "c"}, "resource": {"type": "d", "id": "e"}, **moved}
        for moved in (
            {"subject": {"type": "ab", "id": ""}},
            {"subject": {"type": "d", "id": "e"}, "resource": {"type": "a", "id": "b"}},
            {"subject": {"type": "a", "id": "b", "properties": {"name": "c"}}},
            {"action": {"name": "c", "properties": {"name": "c"}}},
            {"context": {"name": "c"}},
            {"context": {"context": {}}},
            {"context": {"inner": {"grants": []}}},
        )
    ]

    digests = [request_digest(request(**shape)) for shape in shapes]
    digests += [request_digest(normalise(raw, now=NOW, host={})) for raw in parts]

    assert len(set(digests)) == len(digests)


def test_the_order_of_members_is_no_part_of_a_digest():
    assert request_digest(request(a=1, b={"c": 1, "d": 2})) == request_digest(request(b={"d": 2, "c": 1}, a=1))


def test_grants_are_no_part_of_what_they_approve():
    assert request_digest(request(grant())) == ASK.request_digest


def test_the_digest_of_rules_ignores_their_order_and_nothing_else():
    other = Rule("p", "ask2", Decision.REQUIRE_APPROVAL, match=Clauses(actions=("a",)))

    assert rules_digest([RULE, other]) == rules_digest([other, RULE])
    assert len({rules_digest(rules) for rules in ([RULE], [other], [RULE, other])}) == 3
    assert rules_digest([msgspec.structs.replace(RULE, reason="now with a reason")]) != rules_digest([RULE])


@given(st.data())
def test_any_change_to_a_grant_makes_it_worthless(data):
    token = grant()
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(codec="utf-8").filter(lambda new: new != token[place]))

    assert verdict(token[:place] + character + token[place + 1 :]).approvers == ()


def test_a_grant_has_one_spelling():
    prefix, payload, signature = grant().split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))

    for other in (
        f"{prefix}.{payload}=.{signature}",
        f"{prefix}.{payload}.{signature}=",
        f" {prefix}.{payload}.{signature}",
    ):
        assert refusals(other) == ["grant_invalid"]
    assert content["audience"] == "host-1"


PEOPLE = [
    Approver("a", "", ("security", "platform"), ()),
    Approver("b", "", ("security",), ()),
    Approver("c", "", ("platform", "app"), ()),
    Approver("d", "", ("app",), ()),
]


def test_nobody_counts_for_two_teams():
    assert missing_approvals({"security": 1, "platform": 1}, [PEOPLE[0]]) == {"platform": 1}


def test_a_seat_is_found_wherever_there_is_one():
    assert missing_approvals({"security": 1, "platform": 1}, [PEOPLE[0], PEOPLE[1]]) == {}


@given(
    st.dictionaries(st.sampled_from(["security", "platform", "app"]), st.integers(1, 2), min_size=1),
    st.lists(st.sampled_from(PEOPLE), unique_by=lambda person: person.id),
)
def test_a_quorum_is_met_exactly_if_people_can_be_seated_apart(quorum, people):
    seats = [team for team, count in quorum.items() for _ in range(count)]
    possible = any(
        all(team in person.teams for team, person in zip(seats, order, strict=True))
        for order in itertools.permutations(people, len(seats))
    )

    assert (missing_approvals(quorum, people) == {}) is possible


@pytest.mark.parametrize(
    ("approval", "problem"),
    [
        (Approval({}, 60), "names no team"),
        (Approval({"security": 0}, 60), "impossible number"),
        (Approval({"security": MAX_GRANTS + 1}, 60), "impossible number"),
        (Approval({"security": 1}, 0), "expires_in is 0 s"),
    ],
)
def test_an_approval_that_no_grant_can_satisfy_is_a_problem(approval, problem):
    assert problem in check_approval(approval)[0]
