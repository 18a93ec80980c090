"""What a host remembers, as its answers show: grants replayed, stolen or late, rates over swaps, and no stall."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from granting import ASKING, KEYS, PROVISIONS, asking_request, grant_for
from redis_server import RedisServer, redis_server

from agent_sidecar import fleet
from agent_sidecar.fleet import FleetStore
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import AtOnce, HostMemory, WouldWaitError
from policy_core.decision import Answer, PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.memory import Memory
from policy_core.model import Clauses, Decision, Rate, RateScope, Rule
from policy_core.request import normalise

FLEET_RATE = Rate(1, 3600, ("resource.id",), RateScope.FLEET)
HOST_RATE = Rate(1, 3600, ("resource.id",))
RULES = [
    ASKING,
    Rule("p", "fleet", Decision.THROTTLE, match=Clauses(actions=("fleet.*", "both.*")), rate=FLEET_RATE),
    Rule("p", "host", Decision.THROTTLE, match=Clauses(actions=("host.*", "both.*", "approve.rated")), rate=HOST_RATE),
    Rule("p", "yes", Decision.ALLOW, match=Clauses(actions=("fleet.*", "both.*", "host.*", "plain.*"))),
]
MATCHER = load(encode_rules(RULES), policy=PolicyRef("sha256:0", "r"), provisions=PROVISIONS)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


class Host:
    """One host; `restart` is a new process on its state directory, with the clock it has then."""

    def __init__(self, folder: Path, host_id: str = "host-1", fleet: FleetStore | None = None) -> None:
        self.folder = folder
        self.host_id = host_id
        self.fleet = fleet
        self.clock = HostClock()
        self.restart()

    def restart(self, clock: HostClock | None = None) -> "Host":
        self.clock = clock or HostClock()
        self.memory = HostMemory(self.folder, host_id=self.host_id, clock=self.clock, fleet=self.fleet)
        return self

    def decide(self, raw: dict[str, Any], memory: Memory | None = None) -> Answer:
        return MATCHER.decide(normalise(raw, now=self.clock(), host={}), memory=memory or self.memory)

    def ask(self, action: str = "approve.x") -> dict[str, Any]:
        ask = self.decide(asking_request(action=action)).approval
        assert ask
        return {name: getattr(ask, name) for name in ("rules_digest", "request_digest", "audience")}

    def refused_for(self, *grants: str) -> str:
        answer = self.decide(asking_request(*grants))
        assert not answer.allowed
        return answer.reason_code


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def fleet_hosts(tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Host]]:
    monkeypatch.setattr(fleet, "ANSWER_TIMEOUT_S", 10.0)  # the machine may be busy
    stores = [FleetStore(server.url, channel=tmp_path.name) for _ in range(2)]
    hosts = []
    for number, store in enumerate(stores):
        (tmp_path / str(number)).mkdir()
        hosts.append(Host(tmp_path / str(number), f"host-{number}", store))
    yield hosts
    for store in stores:
        store._redis.flushdb()
        store.close()


def test_an_ask_names_this_host_and_a_grant_for_it_allows(host: Host) -> None:
    ask = host.ask()
    assert ask["audience"] == "host-1"

    answer = host.decide(asking_request(grant_for(ask)))

    assert (answer.allowed, answer.reason_code) == (True, "approved")


def test_a_replayed_grant_is_refused(host: Host) -> None:
    grant = grant_for(host.ask())
    host.decide(asking_request(grant))

    assert host.refused_for(grant) == "grant_replayed"
    assert host.restart().refused_for(grant) == "grant_replayed"


@pytest.mark.parametrize(
    ("by", "changes", "code"),
    [
        ("ana", {"expires": 1}, "grant_expired"),
        ("ana", {"issued": 1}, "grant_expired"),
        ("eve", {}, "grant_foreign"),
        ("bo", {}, "grant_self_approved"),
        ("ana", {"audience": "host-2"}, "grant_other_audience"),
        ("ana", {"audience": ""}, "grant_other_audience"),
        ("ana", {"rules_digest": "sha256:other"}, "grant_other_rules"),
        ("ana", {"request_digest": "sha256:other"}, "grant_other_request"),
        ("ana", {"key": KEYS["eve"].public_key().public_bytes_raw().hex()}, "grant_invalid"),
    ],
)
def test_a_grant_that_is_not_for_this_is_refused_and_not_used_up(
    host: Host, by: str, changes: dict[str, Any], code: str
) -> None:
    grant = grant_for(host.ask(), by, **changes)

    assert [host.refused_for(grant), host.refused_for(grant)] == [code, code]


def test_a_grant_for_another_request_is_refused(host: Host) -> None:
    assert host.refused_for(grant_for(host.ask("approve.y"))) == "grant_other_request"


def test_a_clock_set_back_over_a_restart_revives_no_grant(host: Host) -> None:
    now = host.clock()
    grant = grant_for(host.ask(), expires=int(now) + 100)
    host.decide(asking_request(grant))
    host.restart(HostClock(clock=lambda: now + 200))

    host.restart(HostClock(clock=lambda: now))

    assert host.refused_for(grant) == "grant_expired"


def test_a_grant_for_any_host_needs_a_fleet_store(host: Host) -> None:
    answer = host.decide(asking_request(grant_for(host.ask(), audience="any")))

    assert (answer.allowed, answer.reason_code) == (False, "grant_unverifiable")
    assert answer.approval
    assert answer.approval.refused[0].message.endswith("and this host has no fleet_store")


def test_a_grant_for_any_host_is_used_up_on_all(fleet_hosts: list[Host]) -> None:
    one, other = fleet_hosts
    grant = grant_for(one.ask(), audience="any")
    assert one.decide(asking_request(grant)).allowed

    assert [one.refused_for(grant), other.refused_for(grant)] == ["grant_replayed"] * 2
    assert other.restart().refused_for(grant) == "grant_replayed"


def test_of_two_hosts_that_checked_one_grant_just_one_spends_it(fleet_hosts: list[Host]) -> None:
    grant = grant_for(fleet_hosts[0].ask(), audience="any")
    request = normalise(asking_request(grant), now=fleet_hosts[0].clock(), host={})
    approval = fleet_hosts[0].decide(asking_request()).approval
    assert approval
    approvers = {approver.id: approver for approver in PROVISIONS.approvers}
    verdicts = [host.memory.check(approval, request, approvers) for host in fleet_hosts]
    assert [verdict.approvers for verdict in verdicts] == [("ana",), ("ana",)]

    refused = [host.memory.spend(found, request.now) for host, found in zip(fleet_hosts, verdicts, strict=True)]

    assert [[each.reason_code for each in found] for found in refused] == [[], ["grant_replayed"]]


def test_a_rate_of_the_fleet_is_counted_for_all_and_that_of_a_host_is_not(fleet_hosts: list[Host]) -> None:
    one, other = fleet_hosts
    assert one.decide(asking_request(action="both.x")).allowed

    assert other.decide(asking_request(action="fleet.x")).matched_rule == "p/fleet"
    assert other.decide(asking_request(action="host.x")).allowed


def test_a_rate_of_the_fleet_without_a_fleet_store_denies_and_says_so_once(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.decide(asking_request(action="fleet.x"), AtOnce(host.memory))
    answer = host.decide(asking_request(action="fleet.x"))

    assert caplog.messages == ["fleet_store_missing"]
    assert (answer.decision, answer.reason_code) == (Decision.DENY, "evaluation_error")
    assert answer.errors[0].message == "p/fleet counts for the whole fleet, and this host has no fleet_store"


def test_a_rate_is_kept_by_the_name_of_its_rule_through_a_swap_and_a_restart(host: Host) -> None:
    host.decide(asking_request(action="host.x"))
    swapped = load(encode_rules(RULES), policy=PolicyRef("sha256:1", "later"), provisions=PROVISIONS)
    request = normalise(asking_request(action="host.x"), now=host.clock(), host={})

    assert swapped.decide(request, memory=host.memory).decision is Decision.THROTTLE
    assert swapped.decide(request, memory=host.restart().memory).decision is Decision.THROTTLE


def test_at_once_answers_whatever_needs_no_waiting(host: Host) -> None:
    at_once = AtOnce(host.memory)

    answers = [host.decide(asking_request(action=action), at_once) for action in ("plain.x", "host.x", "host.x")]

    assert [answer.decision for answer in answers] == [Decision.ALLOW, Decision.ALLOW, Decision.THROTTLE]
    assert host.decide(asking_request("junk", action="plain.x"), at_once).allowed
    assert host.decide(asking_request(), at_once).approval == host.decide(asking_request()).approval


@pytest.mark.parametrize("action", ["fleet.x", "both.x"])
def test_at_once_gives_up_before_anything_is_counted(fleet_hosts: list[Host], action: str) -> None:
    host = fleet_hosts[0]

    for _ in range(2):
        with pytest.raises(WouldWaitError):
            host.decide(asking_request(action=action), AtOnce(host.memory))

    assert host.memory.status().counted_keys == 0
    assert host.decide(asking_request(action=action)).allowed


@pytest.mark.parametrize("action", ["approve.x", "approve.rated"])
def test_at_once_gives_up_before_a_grant_is_checked(host: Host, action: str) -> None:
    grant = grant_for(host.ask(action))

    with pytest.raises(WouldWaitError):
        host.decide(asking_request(grant, action=action), AtOnce(host.memory))

    assert (host.memory.status().spent_grants, host.memory.status().counted_keys) == (0, 0)
    assert host.decide(asking_request(grant, action=action)).allowed


def test_at_once_answers_an_outage_of_the_fleet_store(tmp_path: Path) -> None:
    store = FleetStore("redis://127.0.0.1:1", channel="c")
    store.probe()
    host = Host(tmp_path, fleet=store)

    answer = host.decide(asking_request(action="fleet.x"), AtOnce(host.memory))

    assert (answer.decision, answer.reason_code) == (Decision.DENY, "evaluation_error")


def test_the_status_says_what_is_remembered(host: Host) -> None:
    host.decide(asking_request(action="host.x"))
    host.decide(asking_request(grant_for(host.ask())))

    found = host.memory.status()

    assert (found.host_id, found.counted_keys, found.spent_grants, found.forgot_at) == ("host-1", 1, 1, "")
    assert found.journal_bytes > 100
    assert found.fleet is None


def test_a_disk_that_refuses_is_reported_once(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host.decide(asking_request(action="host.x"))

    def failing(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", failing)
        host.memory.tend()
        host.memory.tend()
    host.memory.tend()

    assert caplog.messages == ["journal_unwritable"]
