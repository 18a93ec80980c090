"""A bundle whose matcher answers its own tests differently never goes live."""

import pytest

from policy_core.decision import PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.model import Clauses, Decision, Rule
from policy_core.selftest import SelfTestCase, SelfTestError, encode_cases, run_selftest

MATCHER = load(
    encode_rules([Rule(policy="a", id="reads", decision=Decision.ALLOW, match=Clauses(actions=("job.read",)))]),
    policy=PolicyRef(bundle="sha256:0", revision="r"),
)
READ, WRITE = {"job": {"topic": "job.read"}}, {"job": {"topic": "job.write"}}


def test_right_answers_pass_one_step_at_a_time():
    cases = [SelfTestCase(READ, "allow", "a/reads"), SelfTestCase(WRITE, "deny")]

    assert len(list(run_selftest(MATCHER, encode_cases(cases)))) == 2


@pytest.mark.parametrize(
    "case",
    [SelfTestCase(WRITE, "allow"), SelfTestCase(READ, "allow", "a/other"), SelfTestCase({"nonsense": 1}, "deny")],
)
def test_a_wrong_answer_is_refused_with_its_number(case):
    with pytest.raises(SelfTestError, match="self-test case 2"):
        list(run_selftest(MATCHER, encode_cases([SelfTestCase(READ, "allow"), case])))


@pytest.mark.parametrize(
    "content", [b"{", b"[]\n", b'{"request": 1}\n', b'{"surprise": 1}\n', b'{"request": "\xff"}\n']
)
def test_unreadable_cases_are_refused(content):
    with pytest.raises(SelfTestError, match="unreadable case"):
        list(run_selftest(MATCHER, content))
