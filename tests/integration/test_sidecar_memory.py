"""What a real sidecar remembers through kills and swaps, with a real Redis server that dies, hangs and comes back."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from granting import ASKING, FILES, asking_request, grant_for
from redis_server import RedisServer, redis_server
from sidecar_bench import Bench, Process, new_bench, until
from signed_store import bundle

from agent_sidecar.fleet import ANSWER_TIMEOUT_S
from agent_sidecar.server.waiting import PATIENCE_S
from policy_core.model import Clauses, Decision, Rate, RateScope, Rule

LIMIT = 3


def rated(name: str, scope: RateScope) -> Rule:
    rate = Rate(LIMIT, 3600, ("resource.id",), scope)
    return Rule("p", name, Decision.THROTTLE, match=Clauses(actions=(f"{name}.*",)), rate=rate)


RULES = [
    ASKING,
    rated("host", RateScope.HOST),
    rated("fleet", RateScope.FLEET),
    Rule("p", "yes", Decision.ALLOW, match=Clauses(actions=("host.*", "fleet.*", "plain.*"))),
]


def release(number: int) -> bytes:
    return bundle(RULES, number=number, **FILES)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        made.store.publish(release(1))
        yield made


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def start(bench: Bench, redis: RedisServer | None = None, host_id: str = "host-1") -> Process:
    settings = [f'host_id = "{host_id}"', f'fleet_store = "{redis.url}"' if redis else ""]
    (bench.folder / "sidecar.toml").write_text("\n".join(settings))
    return bench.start("--config", str(bench.folder / "sidecar.toml")).wait_for(1)


def ask(sidecar: Process, action: str, *grants: str) -> dict[str, Any]:
    body = json.dumps(asking_request(*grants, action=action)).encode()
    answer: dict[str, Any] = sidecar.ask("POST", "/access/v1/evaluation", body)["context"]
    return answer


def decisions(sidecar: Process, action: str, count: int) -> list[str]:
    return [ask(sidecar, action)["decision"] for _ in range(count)]


def ask_together(sidecar: Process, *requests: dict[str, Any], semantic: str = "execute_all") -> list[Any]:
    body = {"evaluations": requests, "options": {"evaluations_semantic": semantic}}
    evaluations: list[Any] = sidecar.ask("POST", "/access/v1/evaluations", json.dumps(body).encode())["evaluations"]
    return evaluations


def decided_together(sidecar: Process, *requests: dict[str, Any], semantic: str = "execute_all") -> list[str]:
    return [each["context"]["decision"] for each in ask_together(sidecar, *requests, semantic=semantic)]


def kill(sidecar: Process) -> None:
    assert sidecar.stop(signal.SIGKILL) == -signal.SIGKILL


def test_a_count_survives_kill_9_and_a_swap(bench: Bench) -> None:
    sidecar = start(bench)
    assert decisions(sidecar, "host.x", 2) == ["allow"] * 2
    kill(sidecar)

    sidecar = start(bench)
    bench.store.publish(release(2))
    sidecar.wait_for(2)

    assert decisions(sidecar, "host.x", 2) == ["allow", "throttle"]
    assert sidecar.ask()["memory"]["counted_keys"] == 1


def test_a_batch_counts_in_its_order_as_single_requests_do(bench: Bench) -> None:
    sidecar, request = start(bench), asking_request(action="host.x")

    assert decisions(sidecar, "host.x", 1) == ["allow"]
    assert decided_together(sidecar, *[request] * 3) == ["allow", "allow", "throttle"]
    assert decisions(sidecar, "host.x", 1) == ["throttle"]


def test_what_a_batch_does_not_decide_counts_nothing(bench: Bench) -> None:
    sidecar, request = start(bench), asking_request(action="host.x")

    found = decided_together(sidecar, *[request] * 9, semantic="permit_on_first_permit")

    assert found == ["allow"]
    assert decisions(sidecar, "host.x", 3) == ["allow", "allow", "throttle"]


def test_a_batch_spends_a_grant_once(bench: Bench) -> None:
    sidecar = start(bench)
    request = asking_request(grant_for(ask(sidecar, "approve.x")["approval"]))

    found = decided_together(sidecar, request, asking_request(action="plain.x"), request)

    assert found == ["allow", "allow", "require_approval"]


def test_a_batch_counts_with_the_fleet_in_its_order(bench: Bench, server: RedisServer) -> None:
    sidecar, request = start(bench, server), asking_request(action="fleet.x")

    found = decided_together(sidecar, request, asking_request(action="plain.x"), *[request] * 3)

    assert found == ["allow", "allow", "allow", "allow", "throttle"]


def test_a_batch_over_a_fleet_store_that_hangs_ends_in_time_and_allows_nothing_of_it(
    bench: Bench, server: RedisServer
) -> None:
    sidecar, request = start(bench, server), asking_request(action="fleet.x")
    server.pause()
    began = time.monotonic()

    evaluations = ask_together(sidecar, *[request] * 50)
    took_s = time.monotonic() - began
    server.resume()

    assert [evaluation["decision"] for evaluation in evaluations] == [False] * 50
    assert took_s < 2 * PATIENCE_S + 1


def test_a_grant_is_used_once_over_a_kill_between_disk_and_reply(bench: Bench) -> None:
    sidecar = start(bench)
    approval = ask(sidecar, "approve.x")["approval"]
    assert (approval["audience"], approval["missing"]) == ("host-1", {"security": 1})
    grant = grant_for(approval)
    asking = threading.Thread(target=lambda: _ignoring_a_lost_reply(sidecar, grant))
    asking.start()
    until(lambda: _written(bench.state), "a grant on disk")
    kill(sidecar)
    asking.join()

    answer = ask(start(bench), "approve.x", grant)

    assert (answer["decision"], answer["reason_code"]) == ("require_approval", "grant_replayed")


def _ignoring_a_lost_reply(sidecar: Process, grant: str) -> None:
    try:
        ask(sidecar, "approve.x", grant)
    except Exception:  # noqa: BLE001 - the sidecar was killed
        return


def _written(state: Path) -> bool:
    return any(path.stat().st_size for path in (state / "memory").glob("grants.*.log"))


def test_of_two_requests_at_once_with_one_grant_just_one_is_allowed(bench: Bench) -> None:
    sidecar = start(bench)
    approval = ask(sidecar, "approve.x")["approval"]
    for _ in range(5):
        grant, found = grant_for(approval), []
        together = threading.Barrier(4)

        def spend(grant: str = grant, found: list[str] = found, together: threading.Barrier = together) -> None:
            together.wait()
            found.append(ask(sidecar, "approve.x", grant)["reason_code"])

        threads = [threading.Thread(target=spend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(found) == ["approved", *["grant_replayed"] * 3]


def test_hosts_count_together_and_use_a_grant_for_any_host_once(bench: Bench, server: RedisServer) -> None:
    one = start(bench, server)
    with new_bench() as elsewhere:
        elsewhere.store.publish(release(1))
        other = start(elsewhere, server, "host-2")

        assert decisions(one, "fleet.x", 2) + decisions(other, "fleet.x", 2) == [*["allow"] * 3, "throttle"]

        grant = grant_for(ask(one, "approve.x")["approval"], audience="any")
        codes = [ask(sidecar, "approve.x", grant)["reason_code"] for sidecar in (other, one, other)]
        assert codes == ["approved", "grant_replayed", "grant_replayed"]


def test_a_fleet_store_that_dies_denies_until_it_is_back(bench: Bench, server: RedisServer) -> None:
    sidecar = start(bench, server)
    assert ask(sidecar, "fleet.x")["decision"] == "allow"
    server.kill()

    answer = ask(sidecar, "fleet.x")

    assert (answer["decision"], answer["reason_code"]) == ("deny", "evaluation_error")
    assert answer["errors"][0]["message"].startswith("fleet store: ConnectionError")
    assert ask(sidecar, "host.x")["decision"] == "allow"
    assert until(lambda: sidecar.ask()["memory"]["fleet"].get("error"), "an outage in the status")
    server.start()
    until(lambda: ask(sidecar, "fleet.x")["decision"] == "allow", "an allowance after the outage")
    assert "error" not in sidecar.ask()["memory"]["fleet"]
    events = [event["event"] for event in sidecar.events()]
    assert events.count("fleet_store_failed") == events.count("fleet_store_reachable") == 1


def test_a_fleet_store_that_hangs_stalls_no_other_request(bench: Bench, server: RedisServer) -> None:
    sidecar = start(bench, server)

    slowest = min(_slowest_beside_a_hang(sidecar, server) for _ in range(3))  # the machine may stall too, once

    assert slowest < ANSWER_TIMEOUT_S / 2


def _slowest_beside_a_hang(sidecar: Process, server: RedisServer) -> float:
    until(lambda: ask(sidecar, "fleet.y")["decision"] != "deny", "a fleet store that answers")
    server.pause()
    stuck = [threading.Thread(target=ask, args=(sidecar, "fleet.x")) for _ in range(4)]
    for thread in stuck:
        thread.start()
    slowest = 0.0
    while any(thread.is_alive() for thread in stuck):
        began = time.monotonic()
        assert ask(sidecar, "plain.x")["decision"] == "allow"
        slowest = max(slowest, time.monotonic() - began)
    assert ask(sidecar, "fleet.x")["reason_code"] == "evaluation_error"
    server.resume()
    return slowest


def test_a_damaged_journal_denies_what_it_cannot_tell_and_the_rest_goes_on(bench: Bench) -> None:
    sidecar = start(bench)
    decisions(sidecar, "host.x", LIMIT)
    kill(sidecar)
    (path,) = (bench.state / "memory").glob("rates.*.log")
    path.write_bytes(b"?" + path.read_bytes()[1:])

    sidecar = start(bench)

    assert ask(sidecar, "host.x")["reason_code"] == "evaluation_error"
    assert ask(sidecar, "plain.x")["decision"] == "allow"
    assert sidecar.ask()["memory"]["forgot_at"]
    assert "journal_damaged" in [event["event"] for event in sidecar.events()]


def test_offline_nothing_is_counted_and_it_says_so(bench: Bench) -> None:
    kill(start(bench))
    request = json.dumps(asking_request(action="host.x")).encode()

    for _ in range(LIMIT + 1):
        done = bench.command("decide", "--state", str(bench.state), "-", text=request)
        assert done.stdout.startswith(b"allow\n")
        assert b"nothing is counted, no grant accepted" in done.stderr
