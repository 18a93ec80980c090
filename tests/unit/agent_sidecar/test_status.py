"""The status document says what is enforced, what would be, and why not."""

from datetime import timedelta
from typing import Any

import msgspec
from signed_store import SignedStore, bundle, rules

from agent_sidecar.decision_log.log import LogStatus, NoLog
from agent_sidecar.decision_log.settings import Durability, WhenFull
from agent_sidecar.decision_log.shipper import ShippingStatus
from agent_sidecar.decision_log.shipping import Backlog
from agent_sidecar.fleet import FleetStore
from agent_sidecar.reports.status import ReportsStatus
from agent_sidecar.status import LimitsStatus, PublishedStatus, Status, WorkerStatus, status_of
from agent_sidecar.status_text import status_text

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny", "deny"), number=2)


def status(host: Any) -> Status:
    return status_of(host.enforcement, host.updater, host.clock, host.new_memory(), NoLog().status())


def text(host: Any) -> str:
    return status_text(msgspec.to_builtins(status(host)))


def test_before_the_first_policy_it_is_not_ready_and_says_why(host: Any) -> None:
    found = status(host)

    assert (found.ready, found.enforced, found.state) == (False, None, "stale")
    assert "no verified policy" in found.reason
    assert "nothing: all denied" in text(host)


def test_it_names_what_is_enforced(store: SignedStore, host: Any) -> None:
    release = store.publish(DENY)
    host.poll()

    found = status(host)

    assert (found.ready, found.state, found.reason) == (True, "fresh", "")
    assert found.enforced
    assert (found.enforced.bundle, found.enforced.revision) == (f"sha256:{release.sha256}", release.revision)
    assert (found.enforced.release, found.enforced.rules) == (1, 2)
    assert "enforced   release 1" in text(host)


def test_during_a_rollback_it_says_what_would_be_enforced(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    store.publish(DENY)
    host.poll()
    host.enforcement.rollback(reason="why\x1b[2J"[:3], by="uid 7")

    found = status(host)

    assert found.enforced
    assert found.current
    assert found.pinned
    assert (found.enforced.release, found.current.release) == (1, 2)
    assert (found.pinned.reason, found.pinned.by) == ("why", "uid 7")
    assert "next       rolled back: writ-sidecar resume" in text(host)


def test_a_rejection_is_shown_until_something_good_comes(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    store.publish(DENY, served=DENY[:-1])
    host.poll()

    assert "rejection" in text(host)
    rejection = status(host).rejection
    assert rejection
    assert rejection.reason
    store.publish(DENY, number=3)
    host.poll()
    assert status(host).rejection is None


def test_an_unreachable_store_is_shown_with_its_beginning(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    host.store.is_down = True
    host.poll()

    found = status(host)

    assert found.state == "unreachable"
    assert found.failure
    assert found.failure.message == "store: cut off"
    assert "failure    store: cut off" in text(host)


def test_a_policy_too_stale_to_answer_from_is_not_ready(store: SignedStore, new_host: Any) -> None:
    host = new_host(stale_limit_s=0.0).start()
    store.publish(ALLOW)
    host.poll()
    host.now = host.updater.freshness.expires + 1

    found = status(host)

    assert (found.ready, found.state) == (False, "stale")
    assert "everything is denied" in found.reason


def test_a_clock_set_back_is_shown(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    host.now = host.clock() - 3600

    assert "behind the latest time" in text(host)


def test_a_snapshot_that_cannot_be_used_is_marked(store: SignedStore, host: Any) -> None:
    release = store.publish(ALLOW)
    host.poll()
    (host.path / "snapshots" / release.sha256 / "bundle.tar.gz").unlink()
    host.start()

    assert "UNUSABLE" in text(host)


def test_it_says_of_every_role_when_it_expires_and_which_is_due(store: SignedStore, host: Any) -> None:
    store.lifetime = timedelta(days=40)
    store.publish(ALLOW)
    host.poll()

    found = status(host).metadata
    host.now = host.clock() + 11 * 86_400
    later = status(host).metadata

    assert {role: each.version for role, each in found.items()} == store.versions
    assert [role for role, each in found.items() if each.expiring] == []
    assert [role for role, each in later.items() if each.expiring] == ["snapshot", "targets", "prod"]
    assert "expiring   snapshot, targets, prod in " in text(host)


def test_it_says_how_far_a_rollback_may_go(store: SignedStore, host: Any) -> None:
    host.start(min_release=1, max_pin_s=60.0)
    store.publish(ALLOW)
    host.poll()

    assert status(host).limits == LimitsStatus(60.0, 1)
    assert "rollback   holds 1 min at most, not below release 1" in text(host)


def test_it_names_who_published_what_the_channel_lists(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW, action="rollback")
    host.poll()

    assert status(host).published == PublishedStatus(1, f"{1:040x}", "rollback", "tests")
    assert "published  release 1, revision 000000000000, rollback by tests" in text(host)
    host.start()
    assert status(host).published


def test_it_says_what_is_remembered_and_that_the_fleet_store_is_away(host: Any) -> None:
    store = FleetStore("redis://127.0.0.1:1/0", channel="prod")
    store.probe()
    memory, log = host.new_memory(store), NoLog().status()
    found = msgspec.to_builtins(status_of(host.enforcement, host.updater, host.clock, memory, log))

    assert found["memory"]["fleet"]["store"] == "redis://127.0.0.1:1/0"
    assert "memory     0 counted keys, 0 spent grants, host id host-1" in status_text(found)
    assert "fleet      redis://127.0.0.1:1/0 ConnectionError" in status_text(found)


def test_it_says_where_it_reports_and_why_not(host: Any) -> None:
    reports = ReportsStatus(to="s3://acme/fleet", problem="403")
    found = msgspec.to_builtins(msgspec.structs.replace(status(host), reports=reports))

    assert "reports to s3://acme/fleet, not yet, its key is NOT ENROLLED\n           403" in status_text(found)


def test_it_says_how_many_workers_answer(host: Any) -> None:
    one = WorkerStatus(pid=1, ready=True, release=1, decisions=0, connections=0)
    workers = (one, msgspec.structs.replace(one, ready=False))
    found = msgspec.to_builtins(msgspec.structs.replace(status(host), workers=workers, workers_replaced=3))

    assert "workers    1 of 2 answer, 3 replaced so far" in status_text(found)
    assert "workers   " not in text(host)


def test_it_says_what_the_decision_log_takes_and_what_is_wrong_with_it(host: Any) -> None:
    log = LogStatus(
        durability=Durability.PROCESS, when_full=WhenFull.BLOCK, bytes=3 << 20, max_bytes=1 << 30, records=12,
        given_up=4, denied=7, problem="decision log: the disk is full",
        shipping=ShippingStatus(
            to="s3://acme/logs", waiting=Backlog(2, 4711, "2026-03-01T12:00:00.000Z"), refused=1, problem="403"
        ),
    )  # fmt: skip
    found = msgspec.to_builtins(status_of(host.enforcement, host.updater, host.clock, host.new_memory(), log))

    assert "log        process, 12 records, 3 of 1024 MiB, 4 given up, 7 answers denied" in status_text(found)
    assert "           decision log: the disk is full" in status_text(found)
    shipping = "ships to   s3://acme/logs, 4711 bytes wait since 2026-03-01T12:00:00.000Z, 1 REFUSED\n           403"
    assert shipping in status_text(found)
    assert "log        off: no decision is recorded" in text(host)
