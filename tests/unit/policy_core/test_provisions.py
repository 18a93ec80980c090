"""``provisions.json`` comes back as it was, and nothing else is taken for one."""

import pytest

from policy_core.bundle import PROVISIONS, build_bundle, read_bundle
from policy_core.features import SUPPORTED, needed_features
from policy_core.model import (
    Approval,
    Approver,
    AttributeTests,
    Classification,
    Clauses,
    Decision,
    Erasure,
    HostLimits,
    LogRules,
    PolicyException,
    Provisions,
    Rate,
    Rule,
)
from policy_core.provisions import ProvisionsError, decode_provisions, encode_provisions

FULL = Provisions(
    exceptions=(PolicyException("e", ("p/r",), Clauses(actions=("a",)), 1, 2),),
    classifications=(Classification("c", ("write",), actions=("a",)),),
    approvers=(Approver("ana", "a" * 64, ("security",), ("ana",)),),
    hosts=HostLimits(3_600, {"prod": 12}),
    log=LogRules((Erasure("context.token"),), (Clauses(actions=("health",)),)),
)
RULE = Rule("p", "r", Decision.DENY)


def test_provisions_come_back_as_they_were():
    assert decode_provisions(encode_provisions(FULL)) == FULL


def test_a_bundle_gives_back_what_it_was_built_from():
    files = {"matcher.jsonl": b"", "data.json": b'{"a":1}', PROVISIONS: encode_provisions(FULL)}
    blob, _ = build_bundle(name="n", revision="r", dirty=False, files=files)

    found = read_bundle(blob).provisions

    assert (found.data, found.exceptions) == ({"a": 1}, FULL.exceptions)


def test_nothing_beside_the_data_is_no_file():
    assert encode_provisions(Provisions(data={"a": 1})) == b""


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b'{"data":{"a":1}}', b'{"more":1}', b'{"exceptions":[{}]}', b"[" * 100_000]
)
def test_anything_else_is_refused(content):
    with pytest.raises(ProvisionsError, match=r"^provisions: "):
        decode_provisions(content)


@pytest.mark.parametrize(
    "approvers",
    [
        [("ana", "a" * 64), ("bo", "a" * 64)],
        [("ana", "a" * 64), ("ana", "b" * 64)],
        [("ana", "a" * 64), ("bo", "A" * 64)],
        [("ana", "a" * 63)],
        [("ana", "")],
    ],
)
def test_one_person_cannot_be_two_approvers(approvers):
    listed = tuple(Approver(name, key, ("security",), (name,)) for name, key in approvers)

    with pytest.raises(ProvisionsError, match=r"^provisions: (two approvers|a key)"):
        decode_provisions(encode_provisions(Provisions(approvers=listed)))


def test_a_bundle_names_only_the_features_it_uses():
    old = frozenset({"rules.v1", "cel.v1"})
    rated = Rule("p", "r", Decision.THROTTLE, rate=Rate(1, 60, ("resource.id",)))
    asking = Rule("p", "r", Decision.REQUIRE_APPROVAL, approval=Approval({"security": 1}, 60))
    scoped = PolicyException("e", ("p/r",), Clauses(attributes={"resource.id": AttributeTests(eq="a")}), 1, 2)

    assert needed_features([RULE], Provisions(approvers=FULL.approvers)) == old
    assert needed_features([rated], Provisions()) == old | {"rates.v1"}
    assert needed_features([asking], Provisions()) == old | {"approvals.v1"}
    assert needed_features([RULE], Provisions(classifications=FULL.classifications)) == old | {"classify.v1"}
    assert needed_features([RULE], Provisions(exceptions=FULL.exceptions)) == old | {"exceptions.v1"}
    assert needed_features([RULE], Provisions(exceptions=(scoped,))) == old | {"exceptions.v1", "rules.v2"}
    assert needed_features([RULE], Provisions(hosts=FULL.hosts)) == old | {"hosts.v1"}
    assert needed_features([RULE], Provisions(log=FULL.log)) == old | {"log.v1"}
    assert needed_features([RULE], Provisions(log=LogRules(leave_out=(scoped.scope,)))) == old | {"log.v1", "rules.v2"}
    assert needed_features([rated, asking], FULL) <= SUPPORTED
