"""``writ emergency`` and an on-call rollback, run as a person on call would."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from polled_host import Host

from builder.cli.main import main
from builder.publishing.holders import Holders
from builder.publishing.key_changes import KeyChange

World = Any  # of conftest.py


@pytest.fixture
def writ(
    peopled: World, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run ``writ`` with the keys of the publisher and that of Di, who is on call for prod; return what it printed."""
    peopled.folder.commit({"trust/root.json": peopled.trusted_root.decode()})
    for name, value in peopled.person("di").ring("prod.oncall").environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, code: int = 0) -> str:
        capfdbinary.readouterr()
        got = main(["-C", str(peopled.folder.path), *arguments])
        printed = capfdbinary.readouterr()
        assert got == code, printed.err.decode()
        return (printed.out if code == 0 else printed.err).decode()

    return run


ABOUT = ("--channel", "prod", "--reason", "an agent runs wild")


def test_a_deny_is_a_release_in_the_ledger(writ: Callable[..., str], peopled: World) -> None:
    printed = writ("emergency", "deny", "actions: [service.*]", *ABOUT, "--expires", "4h", "--id", "stop")

    assert printed.startswith("prod: release 2 (emergency) is live\n")
    message = peopled.folder.git("log", "-1", "--format=%B", "live/prod")
    assert "Writ-Emergency: stop (deny) until " in message
    assert "Writ-Approved-By: di\n" in message


def test_what_is_in_force_is_listed_until_it_is_lifted(writ: Callable[..., str]) -> None:
    writ("emergency", "deny", "{subject: {ids: [agent-7]}}", *ABOUT, "--expires", "4h", "--id", "stop")
    writ("emergency", "revoke", "approver", "ana", *ABOUT, "--expires", "2d", "--id", "ana-away")

    listed = writ("emergency", "list", "--channel", "prod").splitlines()
    assert [line.split("  ")[:3] for line in listed] == [
        ["stop", "deny", '{"match": {"subject": {"ids": ["agent-7"]}}}'],
        ["ana-away", "revoke_approver", "ana"],
    ]
    writ("emergency", "lift", "stop", "--channel", "prod", "--reason", "over")
    found = json.loads(writ("emergency", "list", "--channel", "prod", "--format", "json"))
    assert [entry["id"] for entry in found["emergency"]] == ["ana-away"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("deny", "actions: []", *ABOUT, "--expires", "4h"), 3, "MATCH:1:"),
        (("deny", "{}", *ABOUT, "--expires", "4h"), 3, "match is empty"),
        (("deny", "risk_tags: []", *ABOUT, "--expires", "4h"), 3, "everything would be denied"),
        (("deny", "actions: [a", *ABOUT, "--expires", "4h"), 3, "not valid YAML"),
        (("deny", "verbs: [a]", *ABOUT, "--expires", "4h"), 3, "verbs"),
        (("deny", "actions: [a]", *ABOUT, "--expires", "90d"), 2, "is not within the next 30 days"),
        (("deny", "actions: [a]", *ABOUT, "--expires", "soon"), 2, "is neither a duration nor a time"),
        (("deny", "actions: [a]", *ABOUT, "--expires", "4h", "--id", "No Id"), 2, "bad id"),
        (("deny", "actions: [a]", "--channel", "prod", "--reason", " ", "--expires", "4h"), 2, "reason: is empty"),
        (("lift", "other", "--channel", "prod", "--reason", "over"), 2, "in force: nothing"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_signed(
    writ: Callable[..., str], peopled: World, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in writ("emergency", *arguments, code=code)
    assert peopled.seen().release.release == 1


def test_one_on_call_key_rolls_back_what_two_people_signed(writ: Callable[..., str], peopled: World) -> None:
    peopled.folder.commit_policy("second")
    peopled.publish()
    peopled.approve("ana", "bo")

    printed = writ("rollback", "--channel", "prod", "--reason", "denies restarts")

    assert printed.startswith("prod: release 3 (rollback) is live\n")


def test_one_on_call_key_rolls_back_where_the_one_key_of_the_channel_is_not_here(
    writ: Callable[..., str], peopled: World
) -> None:
    peopled.folder.commit_policy("second")
    peopled.publish()
    peopled.approve("ana", "bo")
    ana, bo = peopled.person("ana"), peopled.person("bo")
    peopled.change_keys(KeyChange({"prod": Holders((ana.key,), 1)}), ana.ring("prod"), bo.ring("prod"))

    printed = writ("rollback", "--channel", "prod", "--reason", "denies restarts")

    assert printed.startswith("prod: release 3 (rollback) is live\n")


def test_a_rollback_can_be_left_to_approvers(writ: Callable[..., str], peopled: World) -> None:
    peopled.folder.commit_policy("second")
    peopled.publish()
    peopled.approve("ana", "bo")

    printed = writ("rollback", "--channel", "prod", "--reason", "denies restarts", "--propose")

    assert printed.startswith("prod: release 3 (rollback) waits for signatures as pending/prod/")
    assert peopled.seen().release.release == 2


def test_hosts_obey_what_was_signed_until_it_is_lifted(
    writ: Callable[..., str], peopled: World, tmp_path: Path
) -> None:
    host = Host(tmp_path / "state", SimpleNamespace(url=peopled.store.url, root=peopled.trusted_root)).start()
    host.poll()
    before = host.decide("service.read")

    writ("emergency", "deny", "actions: [service.*]", *ABOUT, "--expires", "4h", "--id", "stop")
    host.poll()
    during = host.decide("service.read")
    writ("emergency", "lift", "stop", "--channel", "prod", "--reason", "over")
    host.poll()
    after = host.decide("service.read")
    host.stop()

    assert (before, during, after) == ("allow", "deny", "allow")
    assert [event.event for event in host.events()] == [
        "activated", "emergency", "activated", "emergency_lifted", "activated",
    ]  # fmt: skip
