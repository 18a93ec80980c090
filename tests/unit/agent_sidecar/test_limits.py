"""Limits that a policy sets for hosts: how long a host rollback holds, and how far back it goes."""

from typing import Any

import pytest
from signed_store import SignedStore, bundle, rules

from policy_core.errors import ConflictError
from policy_core.model import HostLimits, Provisions
from policy_core.provisions import encode_provisions

HOUR = 3600.0


def limited(number: int, word: str = "deny", **limits: Any) -> bytes:
    """Return a bundle whose policy limits hosts."""
    files = {"provisions.json": encode_provisions(Provisions(hosts=HostLimits(**limits)))}
    return bundle(rules(word), number=number, **files)


PLAIN = [bundle(rules(word), number=number) for number, word in enumerate(("allow", "deny", "throttle"), start=1)]


def publish(store: SignedStore, host: Any, *blobs: bytes) -> None:
    for blob in blobs:
        store.publish(blob)
        host.poll()


def roll_back(host: Any) -> None:
    host.enforcement.rollback(reason="test", by="uid 7")


def held_s(host: Any) -> float:
    pin = host.enforcement.state.pin
    return float(pin.until - pin.since)


@pytest.mark.parametrize(("configured", "signed", "expected"), [(4, 1, 1), (1, 4, 1), (2, 2, 2)])
def test_the_shorter_of_configuration_and_policy_counts(
    configured: int, signed: int, expected: int, store: SignedStore, host: Any
) -> None:
    host.start(max_pin_s=configured * HOUR)
    publish(store, host, PLAIN[0], limited(2, max_pin_s=signed * 3600))

    roll_back(host)

    assert held_s(host) == expected * HOUR


def test_a_shorter_limit_that_arrives_shortens_a_rollback_that_holds(store: SignedStore, host: Any) -> None:
    host.start(max_pin_s=4 * HOUR)
    publish(store, host, *PLAIN[:2])
    roll_back(host)

    publish(store, host, limited(3, max_pin_s=600))

    assert (host.release, held_s(host)) == (1, 600)
    host.now = host.enforcement.state.pin.until
    assert host.enforcement.end_expired_pin()
    assert host.release == 3


def test_a_longer_limit_that_arrives_does_not_prolong_a_rollback(store: SignedStore, host: Any) -> None:
    host.start(max_pin_s=4 * HOUR)
    publish(store, host, PLAIN[0], limited(2, max_pin_s=600))
    roll_back(host)

    publish(store, host, limited(3, max_pin_s=7200))

    assert held_s(host) == 600


def test_a_rollback_below_the_signed_least_release_is_refused(store: SignedStore, host: Any) -> None:
    publish(store, host, PLAIN[0], limited(2, min_release={"prod": 2}))

    with pytest.raises(ConflictError, match=r"is release 1, below the least this host accepts \(2\)"):
        roll_back(host)

    assert (host.release, host.enforcement.state.pin) == (2, None)


def test_the_least_release_of_another_channel_does_not_count(store: SignedStore, host: Any) -> None:
    publish(store, host, PLAIN[0], limited(2, min_release={"staging": 2}))

    roll_back(host)

    assert host.release == 1


def test_a_least_release_that_arrives_ends_a_rollback_below_it(store: SignedStore, host: Any) -> None:
    publish(store, host, *PLAIN[:2])
    roll_back(host)

    publish(store, host, limited(3, "throttle", min_release={"prod": 2}))

    assert (host.release, host.decide(), host.enforcement.state.pin) == (3, "throttle", None)
    event = host.events("resume")[-1]
    assert (event.by, event.reason) == ("policy", "the policy forbids to go below release 2")


def test_the_limits_are_those_of_the_newest_release_and_not_of_the_one_gone_back_to(
    store: SignedStore, host: Any
) -> None:
    publish(store, host, limited(1, max_pin_s=60, min_release={"prod": 1}), PLAIN[1])

    roll_back(host)

    assert (host.release, held_s(host)) == (1, HOUR)


def test_a_rollback_of_the_fleet_is_a_higher_release_and_may_list_older_bytes(store: SignedStore, host: Any) -> None:
    publish(store, host, PLAIN[0], limited(2, min_release={"prod": 2}))

    store.publish(PLAIN[0], action="rollback")
    host.poll()

    assert (host.release, host.decide()) == (3, "allow")


def test_limits_survive_a_restart_in_which_the_snapshot_that_set_them_is_damaged(store: SignedStore, host: Any) -> None:
    publish(store, host, PLAIN[0], limited(2, min_release={"prod": 2}))
    current = host.enforcement.state.current
    (host.path / "snapshots" / current.sha256 / "bundle.tar.gz").write_bytes(b"")

    host.start()

    assert (host.release, host.decide()) == (0, "deny")
    assert host.enforcement.limits.min_release == 2


def test_a_release_is_not_measured_by_its_own_least_release(store: SignedStore, host: Any) -> None:
    publish(store, host, limited(1, "allow", min_release={"prod": 40}))

    assert host.release == 1
    host.start()
    assert host.release == 1


def test_a_configuration_that_allows_less_holds_from_the_next_start_on(store: SignedStore, host: Any) -> None:
    host.start(max_pin_s=4 * HOUR)
    publish(store, host, *PLAIN[:2])
    roll_back(host)

    host.start(max_pin_s=HOUR)
    shortened = (host.release, held_s(host))
    host.start(min_release=2)

    assert shortened == (1, HOUR)
    assert (host.release, host.enforcement.state.pin) == (2, None)
