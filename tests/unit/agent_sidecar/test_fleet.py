"""The fleet store on a real Redis server: it counts as one host would, for all hosts, and fails fast and closed."""

import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import RedisServer, redis_server

from agent_sidecar import fleet
from agent_sidecar.fleet import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, FleetStore, place_of
from policy_core.errors import UsageError
from policy_core.grants import Grant
from policy_core.memory import ForgottenError
from policy_core.model import Decision, Rate, RateScope, Rule
from policy_core.testing.memory import PlainMemory

START = 1_790_000_000.0
CHANNELS = (f"c{number}" for number in itertools.count())
LONGEST_S = CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def in_time() -> None:
    """Keep to the time limits of a host."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server the test may kill."""
    with redis_server() as server:
        yield server


def fleet_rule(limit: int = 2, window_s: int = 60, name: str = "t") -> Rule:
    return Rule("p", name, Decision.THROTTLE, rate=Rate(limit, window_s, ("resource.id",), RateScope.FLEET))


OPENED: list[FleetStore] = []


def store_of(server: RedisServer, channel: str = "") -> FleetStore:
    OPENED.append(FleetStore(server.url, channel=channel or next(CHANNELS)))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _patient_and_closed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a busy machine take its time where the time limit is not what is tested."""
    if "in_time" not in request.fixturenames:
        monkeypatch.setattr(fleet, "ANSWER_TIMEOUT_S", 10.0)
    yield
    while OPENED:
        OPENED.pop().close()


def grant(number: int = 1) -> Grant:
    return Grant("aa" * 32, "sha256:r", "sha256:q", "any", int(START), int(START) + 600, f"{number:032x}")


RULES = [fleet_rule(1, 5, "a"), fleet_rule(2, 10, "b"), fleet_rule(3, 7, "c")]
STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(RULES), st.sampled_from("xy"), st.integers(0, 4), st.booleans()),
    max_size=30,
)


@settings(
    max_examples=examples(60, nightly=2_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_two_hosts_together_answer_like_one_plain_memory(shared_server: RedisServer, steps: Any) -> None:
    channel = next(CHANNELS)
    hosts, plain, now = [store_of(shared_server, channel) for _ in range(2)], PlainMemory(), START

    for number, (host, rule, key, later, narrows) in enumerate(steps):
        now += later + number / 1000  # a request exactly one window later counts there, and not here
        wait = plain.retry_after(rule, key, now)
        found = hosts[host].retry_after(rule, key, now)
        assert found == (wait if wait is None else pytest.approx(wait, abs=0.001))
        if wait is None or narrows:
            plain.count(rule, key, now, reached=wait is not None)
            assert hosts[host].count(rule, key, now, reached=wait is not None)
        else:
            assert not hosts[host].count(rule, key, now, reached=False)
    for each in hosts:
        each.close()


def test_the_last_place_goes_to_one_host(shared_server: RedisServer) -> None:
    channel, rule = next(CHANNELS), fleet_rule(1)
    one, other = store_of(shared_server, channel), store_of(shared_server, channel)
    assert one.retry_after(rule, "k", START) is None
    assert other.retry_after(rule, "k", START) is None

    assert one.count(rule, "k", START, reached=False)
    assert not other.count(rule, "k", START, reached=False)


def test_what_is_allowed_although_the_rate_is_reached_keeps_the_list_short(shared_server: RedisServer) -> None:
    store, rule = store_of(shared_server), fleet_rule(2)

    for number in range(10):
        store.count(rule, "k", START + number, reached=True)

    (name,) = store._redis.keys(f"writ:{store._channel}:*")
    assert store._redis.llen(name) == 2
    assert store.retry_after(rule, "k", START + 9) == pytest.approx(59, abs=0.001)


def test_rules_keys_and_channels_are_counted_apart(shared_server: RedisServer) -> None:
    channel, rule = next(CHANNELS), fleet_rule(1)
    store = store_of(shared_server, channel)
    store.count(rule, "k", START, reached=False)

    assert store.retry_after(rule, "k", START) is not None
    assert store.retry_after(rule, "l", START) is None
    assert store.retry_after(fleet_rule(1, name="u"), "k", START) is None
    assert store_of(shared_server).retry_after(rule, "k", START) is None


def test_names_are_short_whatever_the_key_is_and_end_by_themselves(shared_server: RedisServer) -> None:
    store = store_of(shared_server)

    store.count(fleet_rule(), "x" * 200, START, reached=False)

    (name,) = store._redis.keys(f"writ:{store._channel}:*")
    assert len(name) < 100
    assert 0 < store._redis.ttl(name) <= 60


def test_a_grant_for_any_host_is_claimed_once(shared_server: RedisServer) -> None:
    one, other = store_of(shared_server, "staging"), store_of(shared_server, "prod")  # the same rules, perhaps
    assert not other.is_claimed(grant())

    assert one.claim(grant(), keep_s=600)
    assert not other.claim(grant(), keep_s=600)

    assert other.is_claimed(grant())
    assert not other.is_claimed(grant(2))


def test_a_server_that_is_gone_is_an_error_until_it_is_back(server: RedisServer) -> None:
    store, rule = store_of(server), fleet_rule()
    store.count(rule, "k", START, reached=False)
    server.kill()

    for call in (
        lambda: store.retry_after(rule, "k", START),
        lambda: store.count(rule, "k", START, reached=False),
        lambda: store.count(rule, "k", START, reached=True),
        lambda: store.is_claimed(grant()),
        lambda: store.claim(grant(), keep_s=1),
        store.check_up,
    ):
        with pytest.raises(ForgottenError, match="fleet store: ConnectionError"):
            call()

    server.start()
    with pytest.raises(ForgottenError):
        store.retry_after(rule, "k", START)  # nobody has looked yet
    store.probe()
    assert store.retry_after(rule, "k", START) is None
    assert store.error == ""


def test_a_server_that_does_not_answer_is_waited_for_once(server: RedisServer, in_time: None) -> None:
    store, rule = store_of(server), fleet_rule()
    store.probe()
    server.pause()

    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(ForgottenError):
            store.retry_after(rule, "k", START)
    took_s = time.monotonic() - began

    assert took_s < 20 * LONGEST_S  # not fifty times
    server.resume()
    store.probe()
    assert store.retry_after(rule, "k", START) is None


def test_a_refusal_by_the_server_is_an_error_and_no_outage(shared_server: RedisServer) -> None:
    store, rule = store_of(shared_server), fleet_rule()
    store._redis.set(store._rate(rule, "k")[0], "somebody else's")

    with pytest.raises(ForgottenError, match="WRONGTYPE"):
        store.count(rule, "k", START, reached=False)

    assert store.retry_after(rule, "l", START) is None


def test_a_failure_is_logged_once_and_so_is_its_end(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agent_sidecar")
    store = store_of(server)
    server.kill()
    for _ in range(3):
        store.probe()

    server.start()
    store.probe()

    assert caplog.messages == ["fleet_store_failed", "fleet_store_reachable"]


def test_what_is_secret_in_the_url_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    store = FleetStore("redis://user:hunter2@127.0.0.1:1/3", channel="c")

    store.probe()

    assert store.place == "redis://127.0.0.1:1/3"
    assert "hunter2" not in store.error + repr([vars(record) for record in caplog.records])
    assert place_of("rediss://:hunter2@h?ssl_keyfile=x") == "rediss://h:6379"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "limits.storage", None)

    with pytest.raises(UsageError, match="is not installed") as caught:
        FleetStore("redis://127.0.0.1:1", channel="c")

    assert caught.value.hint == 'pip install "writ-policy[fleet]"'
