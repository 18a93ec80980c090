"""What is live demands, not the candidate: each attack tries to demand less and to use it in the same change."""

from typing import Any

import pytest

from builder.policytest.coverage import CoverageTooLowError
from builder.publishing.gates import GovernanceError
from policy_core.errors import GateError, report

World = Any  # of tests/unit/builder/conftest.py

POLICY = """\
version: v1
metadata: {owners: {app: team-a}}
rules:
  - {id: read, match: {actions: [read]}, decision: allow}
  - {id: limit, match: {actions: [write]}, decision: deny}
"""
BARE = POLICY.replace("metadata: {owners: {app: team-a}}\n", "")
TESTS = """\
cases:
  - {name: reading, request: {job: {topic: read}}, expect: {decision: allow}}
  - {name: writing, request: {job: {topic: write}}, expect: {decision: deny}}
"""
EXCEPTION = """\
version: v1
id: migration
rules: [a/limit]
scope: {match: {actions: [write]}}
category: waiver
justification: needed
requested_by: ana
approved_by: [eve]
ticket: T-1
created: 2026-01-01
expires: 2026-01-31
"""
DEMANDING = (
    "governance:\n  required_metadata: [owners]\n  teams: {security: [bo]}\n"
    "  exceptions: {max_days: 30, approvals: {security: 1}}\n"
    "gates: {coverage: {rules: 100}}\n"
)


@pytest.fixture
def live(world: World) -> World:
    """Publish a policy under a demanding governance."""
    commit(world, DEMANDING)
    world.publish()
    return world


def commit(world: World, settings: str, policy: str = POLICY, tests: str = TESTS, **more: str) -> None:
    head = f"version: v1\nname: demo-policies\nstore: {world.store.url}\nchannels: [prod]\n"
    files = {"writ.yaml": head + settings, "policies/a.yaml": policy, "tests/a.yaml": tests}
    world.folder.commit(files | {name.replace("__", "/") + ".yaml": text for name, text in more.items()})


def refusal(world: World, kind: type[GateError]) -> GateError:
    """Publish, and return the error; nothing may have become live."""
    before = world.policies()
    with pytest.raises(kind) as caught:
        world.publish()
    assert world.policies() == before
    assert caught.value.exit_code == 4
    return caught.value


def test_what_keeps_to_the_governance_that_is_live_passes(live: World) -> None:
    commit(live, DEMANDING, exceptions__e=EXCEPTION.replace("[eve]", "[bo]"))

    assert live.publish().committed


def test_metadata_cannot_go_with_the_demand_for_it(live: World) -> None:
    commit(live, "", BARE)

    error = refusal(live, GovernanceError)

    assert report(error) == [
        "policies/a.yaml:1:1: metadata has no owners [E109]",
        "    hint: governance.required_metadata in writ.yaml demands it of every policy",
        "error: writ.yaml of release 1: governance is not kept (1 problem)",
        "hint: if the demand itself must change, publish a commit first that changes nothing but writ.yaml",
    ]


@pytest.mark.parametrize(
    ("settings", "exception", "found"),
    [
        ("", EXCEPTION, "exception needs 1 approval of security, found 0"),
        (DEMANDING.replace("[bo]", "[eve]"), EXCEPTION, "exception needs 1 approval of security, found 0"),
        (DEMANDING.replace("max_days: 30", "max_days: 3000"),
         EXCEPTION.replace("[eve]", "[bo]").replace("2026-01-31", "2027-01-31"), "exception lives for 395 days"),
    ],
)  # fmt: skip
def test_an_exception_cannot_bring_its_own_governance(live: World, settings: str, exception: str, found: str) -> None:
    commit(live, settings, exceptions__e=exception)

    error = refusal(live, GovernanceError)

    assert [problem.message for problem in error.problems] == [found]


def test_tests_cannot_go_with_the_coverage_they_give(live: World) -> None:
    commit(live, "", tests=TESTS.rsplit("  -", 1)[0])

    error = refusal(live, CoverageTooLowError)

    assert error.message == "writ.yaml of release 1: gates.coverage: 50.0 % of rules (gate: 100 %)"


def test_demanding_less_takes_a_release_of_its_own(live: World) -> None:
    commit(live, "")
    live.publish()
    commit(live, "", BARE, tests="cases: [{name: nothing, request: {job: {topic: x}}, expect: {decision: deny}}]\n")

    assert live.publish().committed


def test_the_first_publish_is_held_to_its_own_governance_alone(world: World) -> None:
    commit(
        world,
        DEMANDING.replace("gates: {coverage: {rules: 100}}\n", ""),
        tests="cases: []".replace("[]", "[{name: nothing, request: {job: {topic: x}}, expect: {decision: deny}}]"),
    )

    assert world.publish().committed
