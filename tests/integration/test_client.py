"""Policies followed in process beside a real sidecar: the same answers in every situation, and none without it."""

import asyncio
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from granting import ASKING, FILES, asking_request, grant_for
from sidecar_bench import Bench, Process, new_bench, until
from signed_store import bundle, denial, rules

from agent_sidecar.announcing import BEAT_LIMIT_S, IN_FORCE
from agent_sidecar.calling import call
from agent_sidecar.client import Decided, Policy
from agent_sidecar.durable import StateError
from policy_core.errors import UsageError
from policy_core.model import Clauses, Decision, Rate, Rule
from policy_core.request import RequestError

SETTINGS = 'in_process = true\nhost = {env = "prod"}\n'
BOUND = Rule(
    "p", "bound", Decision.ALLOW_WITH_CONSTRAINTS, match=Clauses(actions=("bound",)), constraints={"max_targets": 2}
)
RATED = Rule(
    "p", "rated", Decision.THROTTLE, match=Clauses(actions=("rated",)), rate=Rate(3, 3600, ("resource.id",))
)  # fmt: skip
FREE = Rule("p", "free", Decision.ALLOW, match=Clauses(actions=("rated", "free.*")))
REQUESTS = [
    asking_request(action=action) for action in ("act.0", "act.1", "act.2", "bound", "free.x", "none", "approve.x")
] + [{"job": {"topic": "act.0", "risk_tags": ["prod"]}}, {"input": asking_request(action="act.1")}]
ALLOWED = REQUESTS[0]


def release(number: int, *words: str) -> bytes:
    return bundle([*rules(*words), BOUND, RATED, FREE, ASKING], number=number, **FILES)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench(oncall=True) as made:
        made.store.publish(release(1, "allow", "deny", "allow"))
        yield made


@pytest.fixture(scope="module")
def calm() -> Iterator[Bench]:
    """A sidecar on which nothing happens, for all tests that just ask."""
    with new_bench() as made:
        made.store.publish(release(1, "allow", "deny", "allow"))
        start(made).wait_for(1)
        yield made


def start(bench: Bench, *more: str, settings: str = SETTINGS) -> Process:
    (bench.folder / "sidecar.toml").write_text(settings)
    return bench.start("--config", str(bench.folder / "sidecar.toml"), *more)


def follow(bench: Bench, **more: Any) -> Policy:
    return Policy(state_dir=bench.state, socket=bench.folder / "d.sock", **more)


def settled(policy: Policy) -> Policy:
    until(lambda: policy.in_process, f"in process: {policy.problem}")
    return policy


def said(answer: Any) -> Any:
    """Return an answer as it is compared: every answer has an id of its own."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    return found | {"decision_id": ""}


def sidecars_answer(sidecar: Process, request: dict[str, Any]) -> Any:
    return sidecar.ask("POST", "/access/v1/evaluation", json.dumps(request).encode())["context"] | {"decision_id": ""}


def order(bench: Bench, path: str) -> None:
    call(bench.state / "admin.sock", "POST", path, b'{"reason": "tests"}')


def test_every_answer_is_the_one_the_sidecar_gives_whatever_happened_last(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)
    store = bench.store

    def swap() -> None:
        store.publish(release(2, "deny", "allow", "throttle"))

    def roll_back() -> None:
        order(bench, "/rollback")

    def resume() -> None:
        order(bench, "/resume")

    def deny() -> None:
        store.call(denial("free.*"))

    def deny_more() -> None:
        store.call(denial("free.*"), denial("act.1", id="e-2"))

    def lift() -> None:
        store.call()

    def go_back_by_release() -> None:
        store.publish(release(1, "allow", "deny", "allow"), number=store.next_number)

    with follow(bench) as policy:
        for happens in (swap, roll_back, deny, resume, deny_more, lift, go_back_by_release):
            settled(policy)
            before = in_force(sidecar)
            happens()
            until(lambda was=before: in_force(sidecar) != was and took_all(bench), happens.__name__)
            for wait in (lambda: None, lambda: settled(policy)):  # at once, be it over the socket, then in process
                wait()
                for request in REQUESTS:
                    answer, expected = both_answers(policy, sidecar, request)
                    assert answer == expected, (happens.__name__, request)


def both_answers(policy: Policy, sidecar: Process, request: dict[str, Any]) -> tuple[Any, Any]:
    """Return the answers of a client and of its sidecar, which did not change its mind in between."""
    before = sidecars_answer(sidecar, request)
    while True:
        answer, after = said(policy.decide(request)), sidecars_answer(sidecar, request)
        if before == after:
            return answer, after
        before = after


def in_force(sidecar: Process) -> Any:
    status = sidecar.ask()
    return status["enforced"], status["emergency"]


def test_rules_without_memory_are_answered_in_process_and_others_are_not(calm: Bench) -> None:
    decided: list[Decided] = []

    with settled(follow(calm, on_decision=decided.append)) as policy:
        for request in REQUESTS:
            policy.decide(request)

    where = {json.loads(each.request).get("action", {}).get("name", ""): each.in_process for each in decided}
    assert where == {
        "act.0": True, "act.1": True, "act.2": True, "bound": True, "free.x": True, "none": True, "approve.x": False,
        "": True,
    }  # fmt: skip


def test_what_is_done_to_an_answer_changes_no_other(calm: Bench) -> None:
    with settled(follow(calm)) as policy:
        for _ in range(200):
            answer = policy.decide(asking_request(action="bound"))
            assert answer.constraints == {"max_targets": 2}
            answer.constraints["max_targets"] = 99
            answer.applied_rules.clear()


def test_rates_are_counted_by_the_sidecar_alone(calm: Bench) -> None:
    sidecar = calm.started[0]
    request = asking_request(action="rated")

    with settled(follow(calm)) as policy:
        assert policy.decide(request).allowed
        assert sidecars_answer(sidecar, request)["allowed"]
        assert asyncio.run(policy.decide_async(request)).allowed
        assert policy.decide(request).decision is Decision.THROTTLE


def test_a_grant_is_spent_once(calm: Bench) -> None:
    with settled(follow(calm)) as policy:
        ask = policy.decide(asking_request()).approval
        grant = grant_for(msgspec.to_builtins(ask))
        assert policy.decide(asking_request(grant)).reason_code == "approved"
        assert policy.decide(asking_request(grant)).reason_code == "grant_replayed"


def test_policy_too_stale_is_denied_in_process_as_by_the_sidecar(bench: Bench) -> None:
    sidecar = start(bench, "--on-stale", "deny", "--max-stale", "0s").wait_for(1)

    with settled(follow(bench)) as policy:
        assert policy.decide(ALLOWED).allowed
        bench.store.lifetime = timedelta(seconds=4)
        bench.store.publish(release(2, "allow"))
        sidecar.wait_for(2)
        until(lambda: sidecars_answer(sidecar, ALLOWED)["reason_code"] == "policy_stale", "stale")
        answer = policy.decide(ALLOWED)
        assert said(answer) == sidecars_answer(sidecar, ALLOWED)
        assert said(settled(policy).decide(ALLOWED)) == sidecars_answer(sidecar, ALLOWED)


def test_nobody_decides_in_process_once_callers_are_bound(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)

    with settled(follow(bench)) as policy:
        assert policy.decide(ALLOWED).allowed
        bound_ = f'in_process = false\n[[bind]]\nuid = {os.getuid()}\nsubjects = ["robot/*"]\n'
        (bench.folder / "sidecar.toml").write_text(bound_)
        sidecar.process.send_signal(signal.SIGHUP)
        until(lambda: sidecars_answer(sidecar, ALLOWED)["reason_code"] == "caller_not_bound", "bound")

        assert policy.decide(ALLOWED).reason_code == "caller_not_bound"
        assert not policy.in_process
        assert [each["event"] for each in sidecar.events()].count("in_process_ended") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_without_the_sidecar_everything_is_denied_within_two_seconds(bench: Bench, number: signal.Signals) -> None:
    sidecar = start(bench).wait_for(1)

    with settled(follow(bench)) as policy:
        assert policy.decide(ALLOWED).allowed
        sidecar.stop(number)
        ended = time.monotonic()
        until(lambda: not policy.decide(ALLOWED).allowed, "deny")

        assert time.monotonic() - ended <= BEAT_LIMIT_S + 1.5  # on a busy machine
        answer = policy.decide(ALLOWED)
        assert (answer.decision, answer.reason_code) == (Decision.DENY, "policy_unavailable")
        assert "no sidecar answers there" in answer.reason
        until(lambda: "no sidecar lives there" in policy.problem, policy.problem)

        start(bench).wait_for(1)
        settled(policy)
        assert policy.decide(ALLOWED).allowed


def test_of_several_processes_the_one_that_leads_them_is_followed(bench: Bench) -> None:
    sidecar = start(bench, settings=f"{SETTINGS}workers = 2\n").wait_for(1)

    with settled(follow(bench)) as policy:
        assert policy.decide(ALLOWED).allowed
        bench.store.publish(release(2, "deny"))
        sidecar.wait_for(2)
        assert not settled(policy).decide(ALLOWED).allowed
        sidecar.stop(signal.SIGKILL)
        until(lambda: policy.decide(ALLOWED).reason_code == "policy_unavailable", "gone")


def test_a_sidecar_that_hangs_is_gone(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)

    with settled(follow(bench, timeout_s=0.5)) as policy:
        os.kill(sidecar.process.pid, signal.SIGSTOP)
        try:
            until(lambda: not policy.in_process, "not in process")
            started = time.monotonic()
            answers = [policy.decide(ALLOWED), asyncio.run(policy.decide_async(ALLOWED))]
            took_s = time.monotonic() - started
        finally:
            os.kill(sidecar.process.pid, signal.SIGCONT)
        assert {answer.reason_code for answer in answers} == {"policy_unavailable"}
        assert all("no answer within 0.5 s" in answer.reason for answer in answers)
        assert took_s < 3
        assert policy.decide(ALLOWED).allowed


def test_before_the_first_policy_everything_is_denied(bench: Bench) -> None:
    bench.store.timestamp.unlink()
    sidecar = start(bench)
    until(lambda: sidecar.release() == 0, "up")

    with follow(bench) as policy:
        answer = policy.decide(ALLOWED)
        assert answer.reason_code == "policy_unavailable"
        until(lambda: "no verified policy has been loaded yet" in policy.problem, policy.problem)


def test_a_sidecar_that_is_not_told_to_is_only_asked(bench: Bench) -> None:
    start(bench).wait_for(1)
    assert (bench.state / IN_FORCE).exists()
    bench.started[0].stop()
    start(bench, settings="").wait_for(1)

    with follow(bench) as policy:
        assert policy.decide(ALLOWED).allowed
        until(lambda: "in_process = true" in policy.problem, policy.problem)
        assert not policy.in_process


HARM = [
    *((name, harm) for name in ("bundle.tar.gz", "release-1.json") for harm in ("cut", "changed", "removed")),
    ("bundle.tar.gz", "a pipe"), ("../../root.json", "changed"), ("../../root.json", "a folder"),
    ("../../state.json", "cut"), ("../../state.json", "removed"), ("../../state.json", "a pipe"),
]  # fmt: skip


def test_a_damaged_directory_is_not_answered_from(calm: Bench) -> None:
    (folder,) = (calm.state / "snapshots").iterdir()
    for name, harm in HARM:
        file = (folder / name).resolve()
        content = file.read_bytes()
        damage(file, harm)

        with follow(calm) as policy:
            assert policy.decide(ALLOWED).allowed  # the sidecar answers from what it has loaded
            until(lambda policy=policy: policy.problem not in _NOT_YET, f"{name} {harm}")
            assert not policy.in_process

        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
        file.write_bytes(content)
    with follow(calm) as policy:
        settled(policy)


def test_what_cannot_be_used_is_not_tried_again_and_again(calm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def refuse(directory: Path) -> None:
        tried.append(directory)
        raise StateError("state.json: is damaged")

    monkeypatch.setattr("agent_sidecar.client.following.read_state", refuse)
    with follow(calm) as policy:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert policy.decide(ALLOWED).allowed

    assert 2 <= len(tried) <= 6  # at once, and after 0.05, 0.1, 0.2, 0.4 and 0.8 s


_NOT_YET = ("the policy has not been loaded yet", "the policy is being loaded", "")


def damage(file: Path, harm: str) -> None:
    content = file.read_bytes()
    file.unlink()
    if harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif harm == "changed":
        middle = content.rfind(b'"sig"') + 10 if b'"sig"' in content else len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif harm == "a pipe":
        os.mkfifo(file)
    elif harm == "a folder":
        file.mkdir()


def test_emergency_entries_on_disk_that_are_not_those_in_force_are_not_answered_from(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)
    bench.store.call(denial("act.0"))
    until(lambda: sidecars_answer(sidecar, ALLOWED)["reason_code"] == "emergency_deny", "denied")
    until(lambda: took_all(bench), "all saved")
    state = saved(bench)
    (bench.state / "state.json").write_text(json.dumps(state | {"emergency": []}))

    with follow(bench) as policy:
        assert policy.decide(ALLOWED).reason_code == "emergency_deny"
        until(lambda: "other emergency entries" in policy.problem, policy.problem)
        assert not policy.in_process


def took_all(bench: Bench) -> bool:
    time.sleep(0.05)  # what is saved is in force a moment later
    return bool(saved(bench)["versions"]["timestamp"] == bench.store.versions["timestamp"])


def saved(bench: Bench) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((bench.state / "state.json").read_bytes())
    return state


def test_a_directory_that_others_could_have_put_there_is_not_followed(bench: Bench) -> None:
    start(bench).wait_for(1)
    (bench.folder / "open").mkdir()
    bench.state.rename(bench.folder / "open" / "state")
    (bench.folder / "open").chmod(0o777)

    with Policy(state_dir=bench.folder / "open" / "state", socket=bench.folder / "d.sock") as policy:
        assert policy.decide(ALLOWED).allowed
        until(lambda: "other users can write to it" in policy.problem, policy.problem)
        assert not policy.in_process


def test_a_sidecar_of_somebody_else_is_not_believed(calm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_sidecar.client.policy.owners_of", lambda owner: frozenset({owner}))

    with follow(calm, owner=12345) as policy:
        answer = policy.decide(ALLOWED)
        assert answer.reason_code == "policy_unavailable"
        assert "is served by user id" in answer.reason
        until(lambda: "belongs to user id" in policy.problem, policy.problem)


def test_another_directory_put_in_its_place_is_another_sidecars(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)

    with settled(follow(bench)) as policy:
        bench.state.rename(bench.folder / "moved")  # by its owner: nobody else can
        bench.state.mkdir()

        assert policy.decide(ALLOWED).allowed
        until(lambda: not policy.in_process, "left")
        assert said(policy.decide(ALLOWED)) == sidecars_answer(sidecar, ALLOWED)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_another_account_of_the_group_follows_and_others_do_not(bench: Bench) -> None:
    start(bench).wait_for(1)
    bench.folder.chmod(0o755)
    for each in (bench.state, *bench.state.rglob("*")):
        os.chown(each, 0, 54321, follow_symlinks=False)
    settled(follow(bench)).close()  # loads what is imported late, which others may not read here

    def tried(group: int) -> list[Any]:
        def follow_as_nobody() -> list[Any]:
            os.setgroups([])
            os.setgid(group)
            os.setuid(65534)
            policy = Policy(state_dir=bench.state)
            until(lambda: policy.in_process or policy.problem not in _NOT_YET, "tried")
            return [policy.in_process, policy.problem]

        return in_a_child(follow_as_nobody)

    assert tried(54321) == [True, ""]
    in_process, problem = tried(65534)
    assert not in_process
    assert "Permission denied" in problem


def in_a_child(work: Callable[[], list[Any]]) -> list[Any]:
    """Return what a function returns in a child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        found: list[Any] = json.load(told)
    os.waitpid(child, 0)
    return found


def test_a_child_process_decides_for_itself(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)

    with settled(follow(bench)) as policy:
        mine = policy.decide(ALLOWED).decision_id
        policy.decide(asking_request())  # leaves an idle connection behind

        def decide() -> list[Any]:
            answers = [policy.decide(ALLOWED), policy.decide(asking_request())]
            in_process = settled(policy).in_process
            bench.store.publish(release(2, "deny"))
            until(lambda: policy.in_process and not policy.decide(ALLOWED).allowed, "followed")
            return [in_process, answers[0].decision_id, *(each.decision for each in answers)]

        in_process, theirs, *decisions = in_a_child(decide)
        sidecar.wait_for(2)

        assert in_process
        assert theirs.partition("-")[0] != mine.partition("-")[0]
        assert decisions == ["allow", "require_approval"]
        assert policy.decide(asking_request()).decision is Decision.REQUIRE_APPROVAL


def test_no_thread_ever_goes_back_while_releases_change(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)
    stop, seen = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            answer = policy.decide(ALLOWED)
            assert answer.policy is not None
            seen.append((threading.get_ident(), answer.policy.release, answer.allowed))

    with settled(follow(bench)) as policy:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(2, 6):
            bench.store.publish(release(number, "allow" if number % 2 else "deny"))
            sidecar.wait_for(number)
            settled(policy)
        stop.set()
        for thread in threads:
            thread.join()

    assert {release for _, release, _ in seen} == {1, 2, 3, 4, 5}
    assert all(allowed == (release % 2 == 1) for _, release, allowed in seen)
    for thread in threads:
        releases = [release for ident, release, _ in seen if ident == thread.ident]
        assert releases == sorted(releases)


def test_what_is_replaced_is_freed(bench: Bench) -> None:
    sidecar = start(bench).wait_for(1)

    with settled(follow(bench)) as policy:
        follower = policy._follower
        assert follower is not None
        bench.store.publish(release(2, "deny"))
        sidecar.wait_for(2)
        settled(policy)

        until(lambda: not follower._gone, "freed")


def test_many_wait_for_answers_in_one_event_loop(calm: Bench) -> None:
    async def ask(policy: Policy) -> list[bool]:
        requests = [ALLOWED, asking_request()] * 50
        return [answer.allowed for answer in await asyncio.gather(*map(policy.decide_async, requests))]

    with settled(follow(calm)) as policy:
        assert asyncio.run(ask(policy)) == [True, False] * 50


def test_what_the_applications_record_raises_is_raised_instead_of_an_answer(calm: Bench) -> None:
    def full(_decided: Decided) -> None:
        raise OSError(28, "No space left on device")

    with settled(follow(calm, on_decision=full)) as policy, pytest.raises(OSError, match="No space"):
        policy.decide(ALLOWED)


DEEP = json.loads("[" * 250 + "]" * 250)


@pytest.mark.parametrize(
    "request_",
    [{}, {"subject": "ada"}, b"{", b'{"job": {"topic": "a", "topic": "b"}}', {**ALLOWED, "context": {"deep": DEEP}}],
    ids=["empty", "a text", "no end", "twice", "deep"],
)
def test_a_wrong_shape_is_an_error_here_as_there(calm: Bench, request_: Any) -> None:
    with settled(follow(calm)) as policy, Policy(socket=calm.folder / "d.sock") as asking:
        for each in (policy, asking):
            with pytest.raises(RequestError):
                each.decide(request_)


def test_what_is_not_json_is_no_request(tmp_path: Path) -> None:
    with Policy(socket=tmp_path / "s") as policy, pytest.raises(RequestError, match="is not JSON"):
        policy.decide({"subject": object()})


@pytest.mark.parametrize("number", [math.inf, math.nan])
def test_a_number_that_json_does_not_have_is_no_request(tmp_path: Path, number: float) -> None:
    request = {**ALLOWED, "context": {"arguments": [{"amount": number}], "nothing": None}}

    with Policy(socket=tmp_path / "s") as policy, pytest.raises(RequestError, match="is not JSON"):
        policy.decide(request)


def test_nothing_is_something_that_can_be_said(tmp_path: Path) -> None:
    with Policy(socket=tmp_path / "s") as policy:
        assert policy.decide({**ALLOWED, "context": {"nothing": None}}).reason_code == "policy_unavailable"


@pytest.mark.parametrize("wrong", [{}, {"socket": "s", "timeout_s": 0}, {"socket": "s", "timeout_s": 2.5}])
def test_a_policy_needs_a_place_and_a_limit(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Policy: "):
        Policy(**wrong)


def test_a_closed_policy_asks(calm: Bench) -> None:
    policy = settled(follow(calm))

    policy.close()

    assert (policy.in_process, policy.problem) == (False, "closed")
    assert policy.decide(ALLOWED).allowed
    policy.close()
