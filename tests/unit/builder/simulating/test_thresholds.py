"""The gate of a publish: thresholds and requests are those of what is live. Each attack tries to get around it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from builder.simulating.thresholds import SimulationGateError
from policy_core.errors import InvalidPolicyError

World = Any  # of tests/unit/builder/conftest.py

STRICT = "gates: {simulation: {max_flips_percent: 20, max_widened: 0}}\n"
LOOSE = "gates: {simulation: {max_flips_percent: 100, max_widened: 1000}}\n"


def corpus(**counts: int) -> str:
    """Return lines that ask for actions, as often as is said; no two are the same."""
    return "".join(
        json.dumps({"job": {"topic": f"service.{verb}", "job_id": f"{verb}-{number}"}}) + "\n"
        for verb, count in counts.items()
        for number in range(count)
    )


def policy(*verbs: str) -> str:
    """Return a policy that allows these actions."""
    rules = "".join(
        f"  - id: {verb}\n    match: {{actions: [service.{verb}]}}\n    decision: allow\n" for verb in verbs
    )
    return f"version: v1\nrules:\n{rules}"


CORPUS = corpus(read=7, stop=2, drop=1)


@pytest.fixture
def live(world: World) -> World:
    """Publish a policy that allows reading and stopping, under strict thresholds."""
    commit(world, STRICT, policy("read", "stop"), CORPUS)
    world.publish()
    return world


def settings(world: World, gates: str) -> str:
    return f"version: v1\nname: demo-policies\nstore: {world.store.url}\nchannels: [prod]\n{gates}"


def commit(world: World, gates: str, text: str, requests: str = CORPUS) -> str:
    files = {"writ.yaml": settings(world, gates), "policies/a.yaml": text, "corpus/a.jsonl": requests}
    revision: str = world.folder.commit(files)
    return revision


def refusal(world: World) -> SimulationGateError:
    """Publish, and return the error; nothing may have become live."""
    before = world.policies()
    with pytest.raises(SimulationGateError) as caught:
        world.publish()
    assert world.policies() == before
    assert caught.value.exit_code == 4
    return caught.value


def test_the_first_publish_has_nothing_to_be_held_to(world: World) -> None:
    commit(world, STRICT, policy("read"))

    assert world.publish().committed


def test_what_flips_nothing_passes(live: World) -> None:
    commit(live, STRICT, policy("stop", "read", "never-asked"))

    assert live.publish().committed


def test_a_widened_request_is_refused_by_name_and_with_a_way_on(live: World) -> None:
    commit(live, STRICT, policy("read", "stop", "drop"))

    error = refusal(live)

    assert error.message == (
        "writ.yaml of release 1: gates.simulation, replaying the corpus of "
        f"commit {live.folder.git('rev-parse', 'HEAD')[:12]}: 1 widened or changed (limit 0); first: "
        "anonymous anonymous: service.drop on job drop-0  (corpus/a.jsonl:10): deny → allow"
    )
    assert "publish a commit first that does nothing but raise gates.simulation in writ.yaml" in error.hint


def test_narrowing_is_held_to_the_percentage_only(live: World) -> None:
    commit(live, STRICT, policy("read"))  # 20 %
    assert live.publish().committed

    commit(live, STRICT, policy("nothing"))  # 70 %
    assert "70.00 % of the requests flip (limit 20 %)" in refusal(live).message


@pytest.mark.parametrize(
    "gates", ["", "gates: {}\n", LOOSE, "gates: {simulation: {max_widened: 1}}\n", "gates: {coverage: {rules: 1}}\n"]
)
def test_a_candidate_that_lowers_its_own_threshold_is_held_to_the_live_one(live: World, gates: str) -> None:
    commit(live, gates, policy("read", "stop", "drop"))

    assert "1 widened or changed (limit 0)" in refusal(live).message


def test_raising_the_threshold_in_a_release_of_its_own_is_the_way(live: World) -> None:
    commit(live, LOOSE, policy("read", "stop"))
    assert live.publish().committed

    commit(live, LOOSE, policy("read", "stop", "drop"))
    assert live.publish().committed


def test_publishing_the_lowered_threshold_from_a_commit_that_was_refused_does_not_work(live: World) -> None:
    commit(live, LOOSE, policy("read", "stop", "drop"))
    refusal(live)

    commit(live, LOOSE, policy("read", "stop", "drop") + "# again\n")

    refusal(live)


@pytest.mark.parametrize(
    "requests",
    [corpus(read=7, stop=2), corpus(read=1), "", corpus(read=5000)],
    ids=["without it", "another", "empty", "diluted"],
)
def test_taking_requests_out_of_the_corpus_hides_nothing(live: World, requests: str) -> None:
    commit(live, STRICT, policy("read", "stop", "drop"), requests)

    error = refusal(live)

    assert "replaying the corpus of release 1: 1 widened" in error.message
    assert "`writ simulate --corpus from` shows all flips" in error.hint


def test_watering_the_corpus_down_does_not_lower_the_percentage(live: World) -> None:
    commit(live, STRICT, policy("stop"), CORPUS + corpus(other=5000))

    assert "replaying the corpus of release 1: 70.00 % of the requests flip" in refusal(live).message


def test_requests_that_come_with_the_candidate_count_too(live: World) -> None:
    commit(live, STRICT, policy("read", "stop", "purge"), CORPUS + corpus(purge=3))

    assert "3 widened or changed (limit 0)" in refusal(live).message


def test_moving_the_corpus_away_in_a_release_before_leaves_nothing_to_replay_and_is_refused(live: World) -> None:
    commit(live, STRICT, policy("read", "stop", "more"), "")
    assert live.publish().committed
    commit(live, STRICT, policy("read", "stop", "drop"), "")

    assert refusal(live).message == "writ.yaml of release 2: gates.simulation, but there is no request to replay"


def test_after_a_rollback_the_gate_is_the_one_that_is_live_again(live: World) -> None:
    commit(live, LOOSE, policy("read", "stop"))
    live.publish()
    live.roll_back(1)
    commit(live, LOOSE, policy("read", "stop", "drop"))

    assert "writ.yaml of release 3: gates.simulation" in refusal(live).message


def test_a_rollback_is_not_held_up(live: World) -> None:
    commit(live, STRICT, policy("read"))
    live.publish()

    assert live.roll_back(1).committed


def test_who_loses_a_race_is_held_to_what_the_winner_made_live(world: World, recording: Callable[..., Any]) -> None:
    commit(world, "", policy("read"))
    world.publish()
    stricter = commit(world, STRICT, policy("read"))
    candidate = commit(world, STRICT, policy("read", "drop"))

    class Overtaking(recording):  # type: ignore[valid-type,misc]
        def before(self, call: str) -> None:
            if call == "put metadata/timestamp.json" and not self.calls:
                self.calls.append(call)
                world.publish(stricter)

    with pytest.raises(SimulationGateError, match=r"release 2: gates\.simulation"):
        world.publish(candidate, store=Overtaking(world.store))

    assert world.seen().release.revision == stricter


def test_a_corpus_that_cannot_be_read_never_becomes_live(world: World) -> None:
    commit(world, STRICT, policy("read"), CORPUS + '{"job":')

    with pytest.raises(InvalidPolicyError) as caught:
        world.publish()

    assert [problem.where for problem in caught.value.problems] == ["corpus/a.jsonl:11:1"]


def test_an_allowlist_that_trades_one_entry_for_another_counts_as_widened(live: World) -> None:
    def bounded(hosts: str) -> str:
        return (
            "version: v1\nrules:\n  - id: read\n    match: {actions: [service.read]}\n"
            f"    decision: allow_with_constraints\n    constraints: {{network_allowlist: [{hosts}]}}\n"
        )

    commit(live, "gates: {simulation: {max_widened: 0}}\n", policy("read", "stop"))
    live.publish()
    commit(live, "gates: {simulation: {max_widened: 0}}\n", bounded("a.example"))
    live.publish()
    commit(live, "gates: {simulation: {max_widened: 0}}\n", bounded("b.example"))

    message = refusal(live).message

    assert "7 widened or changed (limit 0)" in message
    assert 'network_allowlist: ["a.example"] → ["b.example"]' in message
