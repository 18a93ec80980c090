"""The sidecar as a process: real sockets, signals, a store in a directory, and what its user sees."""

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from sidecar_bench import PATIENCE_S, REQUEST, Bench, new_bench, until
from signed_store import bundle, rules

from agent_sidecar.calling import call
from agent_sidecar.inspecting import verify
from policy_core.errors import RemoteError

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        yield made


def test_a_decision_flips_when_a_release_is_published(bench: Bench) -> None:
    sidecar = bench.start().wait_for(0)
    assert sidecar.decide()["context"]["reason_code"] == "policy_unavailable"
    bench.store.publish(ALLOW)
    sidecar.wait_for(1)
    assert sidecar.decide()["decision"] is True

    bench.store.publish(DENY)
    sidecar.wait_for(2)

    answer = sidecar.decide()
    assert answer["decision"] is False
    assert answer["context"]["policy"]["release"] == 2
    assert sidecar.stop() == 0


def test_metrics_and_health_say_how_fresh_the_policy_is(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(sidecar.socket))

    connection.request("GET", "/metrics")
    response = connection.getresponse()
    metrics = response.read().decode()
    connection.close()

    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'writ_freshness{state="fresh"} 1\n' in metrics
    assert f'writ_metadata_version{{role="prod"}} {bench.store.versions["prod"]}\n' in metrics
    assert sidecar.ask(path="/health/ready") == {"ready": True, "state": "fresh"}


def test_decisions_never_pause_and_never_mix_policies_during_swaps(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(sidecar.socket))
    body, seen = json.dumps(REQUEST), []

    for number in range(2, 6):
        bench.store.publish(bundle(rules("allow" if number % 2 else "deny"), number=number))
        while not seen or seen[-1] != number:
            connection.request("POST", "/access/v1/evaluation", body)
            answer = json.loads(connection.getresponse().read())
            release = answer["context"]["policy"]["release"]
            assert answer["decision"] is (release % 2 == 1)
            seen.append(release)

    connection.close()
    assert seen == sorted(seen)


def test_rollback_and_resume_take_effect_before_the_command_returns(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    bench.store.publish(DENY)
    sidecar.wait_for(2)
    shutil.move(bench.folder / "store", bench.folder / "gone")
    state = ["--state", str(bench.state)]

    done = bench.command("rollback", *state, "--reason", "restarts refused")
    assert (done.returncode, sidecar.decide()["decision"]) == (0, True)
    again = bench.command("rollback", *state, "--reason", "once more")
    assert (again.returncode, again.stderr.splitlines()[-1][:5]) == (7, b"hint:")
    assert sidecar.decide()["decision"] is True
    done = bench.command("resume", *state)
    assert (done.returncode, sidecar.decide()["decision"]) == (0, False)

    listed = json.loads(bench.command("history", *state, "--format", "json").stdout)
    assert [event["event"] for event in listed] == ["activated", "activated", "rollback", "resume"]
    assert listed[2]["by"] == f"uid {os.getuid()}"


def test_a_rollback_survives_a_restart_and_the_store_is_not_needed(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    bench.store.publish(DENY)
    sidecar.wait_for(2)
    bench.command("rollback", "--state", str(bench.state), "--reason", "test")
    sidecar.process.kill()
    sidecar.process.wait()
    shutil.move(bench.folder / "store", bench.folder / "gone")

    sidecar = bench.start().wait_for(1)

    assert sidecar.decide()["decision"] is True
    status = until(lambda: (found := sidecar.ask())["failure"] and found, "a failed poll")
    assert (status["state"], status["pinned"]["reason"]) == ("unreachable", "test")


def test_killed_at_any_moment_of_an_update_it_starts_again_with_a_verified_snapshot(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    bench.start().wait_for(1).stop()
    chance = random.Random(7)  # noqa: S311 - a repeatable test

    for number in range(2, 10):
        sidecar = bench.start()
        until(sidecar.socket.exists, "a socket")
        bench.store.publish(bundle(rules("allow", *["deny"] * 200), number=number))
        time.sleep(chance.uniform(0.0, 0.25))
        sidecar.process.send_signal(signal.SIGKILL)
        sidecar.process.wait()

        assert [found.problem for found in verify(bench.state)] in ([""], ["", ""])

    assert bench.start().wait_for(9).decide()["decision"] is True


def test_a_second_sidecar_on_the_same_state_is_refused(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)

    second = bench.start()

    assert second.process.wait(PATIENCE_S) == 7
    assert "another sidecar uses it" in second.log.read_text()
    assert sidecar.decide()["decision"] is True


def test_a_socket_in_use_is_refused_and_stays_with_its_owner(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)

    second = bench.start("--state", str(bench.folder / "other"))

    assert second.process.wait(PATIENCE_S) == 7
    assert "another server answers there" in second.log.read_text()
    assert sidecar.decide()["decision"] is True


def test_an_altered_bundle_is_refused_and_reported_once(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    blob = bytearray(DENY)
    blob[50] ^= 1
    bench.store.publish(DENY, served=bytes(blob))

    status = until(lambda: (found := sidecar.ask())["rejection"] and found, "a rejection")
    polls = status["polls"]
    until(lambda: sidecar.ask()["polls"] > polls + 3, "more polls")

    assert sidecar.decide()["decision"] is True
    assert [event["event"] for event in sidecar.events()].count("rejected") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_leaves_no_socket(bench: Bench, number: signal.Signals) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    idle = socket.socket(socket.AF_UNIX)
    idle.connect(str(sidecar.socket))

    assert sidecar.stop(number) == 0

    assert not sidecar.socket.exists()
    assert sidecar.events()[-1]["event"] == "stopped"
    idle.close()


def test_a_second_signal_ends_it_at_once(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    busy = socket.socket(socket.AF_UNIX)
    busy.connect(str(sidecar.socket))
    busy.sendall(b"POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
    until(sidecar.ask, "an answer, so that the request above has begun")

    sidecar.process.send_signal(signal.SIGTERM)
    until(lambda: sidecar.release() == -1, "no more answers")

    assert sidecar.stop() == 130
    busy.close()


def test_a_state_path_too_long_for_a_socket_is_explained(bench: Bench) -> None:
    sidecar = bench.start("--state", str(bench.folder / ("d" * 100)))

    assert sidecar.process.wait(PATIENCE_S) == 2
    assert "path too long" in sidecar.log.read_text()


def test_a_stale_socket_of_a_killed_sidecar_is_replaced(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    sidecar.process.kill()
    sidecar.process.wait()
    assert sidecar.socket.exists()

    assert bench.start().wait_for(1).decide()["decision"] is True


def test_the_admin_socket_is_for_its_owner_and_orders_are_not_on_the_decision_socket(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)

    assert (bench.state / "admin.sock").stat().st_mode & 0o777 == 0o600
    assert sidecar.socket.stat().st_mode & 0o777 == 0o660
    with pytest.raises(RemoteError, match="another socket than this command needs"):
        sidecar.ask("POST", "/rollback", b'{"reason":"x"}')
    with pytest.raises(RemoteError, match="another socket than this command needs"):
        sidecar.ask("POST", "/api/v1/policy/explain", json.dumps(REQUEST).encode())


def test_explain_shows_why_and_counts_no_decision(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    explain = ("explain", "--state", str(bench.state))

    text = bench.command(*explain, "-", text=json.dumps(REQUEST).encode())
    record = bench.command(*explain, "--format", "json", "-", text=json.dumps(REQUEST).encode())
    refused = bench.command(*explain, "-", text=b"[]")

    assert text.stdout.decode().startswith("decision   allow\n")
    assert json.loads(record.stdout)["answer"]["policy"]["release"] == 1
    assert (refused.returncode, refused.stderr[:6]) == (2, b"error:")
    assert sidecar.ask()["decisions"] == 0


def test_a_refresh_is_an_order_too(bench: Bench) -> None:
    sidecar = bench.start("--poll", "1h")
    until(lambda: sidecar.release() == 0 and sidecar.ask()["verified_at"], "the first poll")
    bench.store.publish(ALLOW)

    reply = call(bench.state / "admin.sock", "POST", "/refresh")

    assert reply["outcome"] == "activated"
    assert sidecar.decide()["decision"] is True


def test_tcp_answers_with_the_token_only(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    token = bench.folder / "token"
    token.write_text("a-token-of-enough-length\n")
    token.chmod(0o600)
    sidecar = bench.start("--listen", "127.0.0.1:0", "--token-file", str(token)).wait_for(1)
    (serving,) = [event for event in sidecar.events() if event["event"] == "serving"]
    port = int(serving["sockets"][-1].rpartition(",")[2].strip(" )"))
    found = []

    for headers in ({}, {"Authorization": "Bearer a-token-of-enough-length"}):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("POST", "/access/v1/evaluation", json.dumps(REQUEST), headers)
            found.append(connection.getresponse().status)

    assert found == [401, 200]


def test_decide_in_process_answers_as_the_socket_does(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start("--host-label", "env=test").wait_for(1)
    request = json.dumps(REQUEST).encode()
    answers = []

    for where in (["--socket", str(sidecar.socket)], ["--state", str(bench.state)]):
        done = bench.command("decide", *where, "--format", "json", "-", text=request)
        assert done.returncode == 0, done.stderr
        answers.append({key: value for key, value in json.loads(done.stdout).items() if key != "decision_id"})

    assert answers[0] == answers[1]
    assert answers[0]["decision"] == "allow"


def test_garbage_and_a_stalled_peer_do_not_disturb_others(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    sidecar = bench.start().wait_for(1)
    chance = random.Random(3)  # noqa: S311 - a repeatable test
    stalled = socket.socket(socket.AF_UNIX)
    stalled.connect(str(sidecar.socket))
    stalled.sendall(b"POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nContent-Len")

    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(sidecar.socket))
            with contextlib.suppress(OSError):
                peer.sendall(chance.randbytes(chance.randrange(1, 5000)))

    assert sidecar.decide()["decision"] is True
    stalled.close()
    assert sidecar.stop() == 0


def test_of_sidecars_started_at_once_on_one_socket_one_serves_and_the_others_end(bench: Bench) -> None:
    bench.store.publish(ALLOW)

    for _ in range(3):
        started = [bench.start("--state", str(bench.folder / f"state-{number}")) for number in range(3)]
        until(lambda: [each.process.poll() for each in started].count(7) == 2, "two that lost")  # noqa: B023 - called now
        (winner,) = [each for each in started if each.process.poll() is None]
        assert winner.wait_for(1).decide()["decision"] is True
        assert winner.stop() == 0


def test_connections_beyond_the_limit_do_not_keep_it_from_working(bench: Bench) -> None:
    bench.store.publish(ALLOW)
    limited = bench.start(most_files=512)
    limited.wait_for(1)
    peers = [socket.socket(socket.AF_UNIX) for _ in range(700)]
    for peer in peers:
        peer.connect(str(limited.socket))

    bench.store.publish(DENY)
    admin = bench.state / "admin.sock"
    until(lambda: call(admin, "GET", "/status")["enforced"]["release"] == 2, "a swap")
    call(admin, "POST", "/rollback", b'{"reason":"test"}')

    for peer in peers:
        peer.close()
    limited.wait_for(1)
