"""What a repository demands of itself is judged with everything else, each shortfall with its place."""

import datetime
import time
from collections.abc import Mapping

import pytest

from builder.compiling import compile_tree
from builder.source import PolicyTree
from policy_core.errors import InvalidPolicyError

TODAY = datetime.date(2026, 11, 21)
SETTINGS = "name: t\nstore: s3://b/p\nchannels: [prod]\n"
KEYS = f"approvers:\n  ana: {{key: '{'a1' * 32}', teams: [security], subjects: [ana]}}\n"
POLICY = """\
version: v1
metadata: {title: Restarts, owners: {app: team-a}, expires: 2027-11-21}
rules:
  - {id: limit, match: {actions: [restart]}, decision: deny}
  - {id: all, decision: allow}
"""
EXCEPTION = """\
version: v1
id: migration
rules: [a/limit]
scope: {match: {actions: [restart]}}
category: waiver
justification: needed
requested_by: ana
approved_by: [bo]
ticket: T-1
created: 2026-11-01
expires: 2026-11-30
"""


def problems(
    governance: str = "", *, settings: str = KEYS, today: datetime.date | None = TODAY, **changed: str
) -> list[str]:
    files: Mapping[str, str] = {
        "writ.yaml": f"{SETTINGS}{settings}" + (f"governance: {{{governance}}}\n" if governance else ""),
        "policies/a.yaml": POLICY,
        "exceptions/e.yaml": EXCEPTION,
        **{name.replace("__", "/") + ".yaml": text for name, text in changed.items()},
    }
    try:
        compile_tree(PolicyTree("1" * 40, False, {path: text.encode() for path, text in files.items()}), today=today)
    except InvalidPolicyError as error:
        return [f"{problem.where} {problem.message}" for problem in error.problems]
    return []


def test_a_tree_that_keeps_to_its_governance_is_sound() -> None:
    demanded = (
        "required_metadata: [owners, title], teams: {security: [bo]}, policies: {max_days: 365}, "
        "exceptions: {max_days: 29, approvals: {security: 1}}"
    )

    assert problems(demanded) == []


@pytest.mark.parametrize(
    ("demanded", "expected"),
    [
        ("required_metadata: [intent, controls, review, severity]",
         ["policies/a.yaml:2:11 metadata has no intent, controls, review, severity"]),
        ("policies: {max_days: 364}", ["policies/a.yaml:2:61 policy expires only in 365 days"]),
        ("exceptions: {max_days: 28}", ["exceptions/e.yaml:11:10 exception lives for 29 days"]),
        ("teams: {security: [cy, di]}, exceptions: {approvals: {security: 2}}",
         ["exceptions/e.yaml:8:14 exception needs 2 approvals of security, found 0"]),
        ("teams: {security: [ana, bo]}, exceptions: {approvals: {security: 2}}",
         ["exceptions/e.yaml:8:14 exception needs 2 approvals of security, found 1"]),
    ],
)  # fmt: skip
def test_each_shortfall_has_its_place(demanded: str, expected: list[str]) -> None:
    assert problems(demanded) == expected


def test_documents_without_metadata_fall_short_at_their_beginning() -> None:
    plain = "version: v1\nrules: [{id: limit, decision: deny}]\n"

    assert problems("required_metadata: [owners], policies: {max_days: 9}", policies__a=plain) == [
        "policies/a.yaml:1:1 metadata has no owners",
        "policies/a.yaml:1:1 policy never expires",
    ]


def test_one_name_twice_is_one_approval() -> None:
    twice = EXCEPTION.replace("[bo]", "[bo, bo]")

    assert problems("teams: {security: [bo, cy]}, exceptions: {approvals: {security: 2}}", exceptions__e=twice) == [
        "exceptions/e.yaml:8:14 exception needs 2 approvals of security, found 1"
    ]


def test_nobody_approves_for_two_teams() -> None:
    demanded = "teams: {security: [bo], platform: [bo, cy]}, exceptions: {approvals: {security: 1, platform: 1}}"

    assert problems(demanded) == ["exceptions/e.yaml:8:14 exception needs 1 approval of platform, found 0"]
    assert problems(demanded, exceptions__e=EXCEPTION.replace("[bo]", "[bo, cy]")) == []


def test_without_a_day_only_what_stays_true_is_judged() -> None:
    demanded = "policies: {max_days: 1}, exceptions: {max_days: 28}"

    assert problems(demanded, today=None) == ["exceptions/e.yaml:11:10 exception lives for 29 days"]


def test_an_exception_has_a_cap_where_nobody_set_one() -> None:
    long = EXCEPTION.replace("2026-11-30", "2027-01-31")

    assert problems(exceptions__e=long) == ["exceptions/e.yaml:11:10 exception lives for 91 days"]


def test_exceptions_name_rules_that_can_be_switched_off() -> None:
    base = "version: v1\ntier: baseline\nrules: [{id: never, decision: deny, match: {actions: [x]}}]\n"
    bad = EXCEPTION.replace("[a/limit]", "[a/limit, a/limt, a/all, base/never]")

    assert problems(exceptions__e=bad, policies__base=base) == [
        "exceptions/e.yaml:3:18 unknown rule 'a/limt'",
        "exceptions/e.yaml:3:26 rule a/all grants: switching it off would only refuse more",
        "exceptions/e.yaml:3:33 rule base/never belongs to the baseline tier",
    ]


def test_two_exceptions_cannot_share_an_id() -> None:
    assert problems(exceptions__f=EXCEPTION) == [
        "exceptions/f.yaml:2:5 exception id migration is used already in exceptions/e.yaml"
    ]


def asking(quorum: str) -> str:
    return POLICY + f"  - {{id: ask, decision: require_approval, approval: {{from: {quorum}, expires_in: 1h}}}}\n"


BO = f"  bo: {{key: '{'b2' * 32}', teams: [security, platform], subjects: [bo]}}\n"


@pytest.mark.parametrize(
    ("quorum", "settings", "expected"),
    [
        ("{security: 1}", KEYS, []),
        ("{security: 1, platform: 1}", KEYS + BO, []),
        ("{security: 1}", "", ["policies/a.yaml:6:61 approval.from: no approver is in team 'security'"]),
        ("{securty: 1}", KEYS, ["policies/a.yaml:6:61 approval.from: no approver is in team 'securty'"]),
        ("{security: 2}", KEYS,
         ["policies/a.yaml:6:60 approval.from can never be satisfied: it takes 1 more of 'security'"]),
        ("{security: 2, platform: 1}", KEYS + BO,
         ["policies/a.yaml:6:60 approval.from can never be satisfied: it takes 1 more of 'platform'"]),
    ],
)  # fmt: skip
def test_an_approval_that_nobody_can_give_is_found(quorum: str, settings: str, expected: list[str]) -> None:
    assert problems(settings=settings, policies__a=asking(quorum)) == expected


def test_a_thousand_approvers_and_a_thousand_impossible_approvals_take_time_in_proportion() -> None:
    people = "".join(
        f"  p{number}: {{key: '{number + 1_000:064x}', teams: [security, platform], subjects: [p{number}]}}\n"
        for number in range(1_000)
    )
    rules = "".join(
        f"  - {{id: r{number}, decision: require_approval, approval: "
        f"{{from: {{security: 8, platform: 7, t{number}: 1}}, expires_in: 1h}}}}\n"
        for number in range(1_000)
    )
    started = time.process_time()

    found = problems(settings=f"approvers:\n{people}", policies__a=POLICY + rules)

    assert len(found) == 1_000
    assert found[-1].endswith("no approver is in team 't999'")
    assert time.process_time() - started < 30
