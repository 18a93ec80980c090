"""``writ live`` and ``writ verify``: who signed, what people on call did, what waits, and what is wrong with that."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from builder.cli.main import main
from builder.publishing.standing import standing_of
from bundle_store.port import StoreDeniedError

World = Any  # of conftest.py


class Done(NamedTuple):
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def writ(
    peopled: World, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Run ``writ`` about prod, which Ana and Bo have signed, with the keys of the publisher and of Di, on call."""
    peopled.folder.commit({"trust/root.json": peopled.trusted_root.decode()})
    peopled.folder.commit_policy("second")
    peopled.publish()
    peopled.approve("ana", "bo")
    for name, value in peopled.person("di").ring("prod.oncall").environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Done:
        capfdbinary.readouterr()
        code = main(["-C", str(peopled.folder.path), *arguments])
        printed = capfdbinary.readouterr()
        assert code == 0, printed.err.decode()
        return Done(printed.out.decode(), printed.err.decode())

    run("ledger", "sync", "--channel", "prod")
    return run


COMMANDS = pytest.mark.parametrize("command", ["live", "verify"])


def deny(writ: Callable[..., Done]) -> None:
    arguments = ("--channel", "prod", "--reason", "runs wild", "--expires", "4h", "--id", "stop")
    writ("emergency", "deny", "actions: [service.*]", *arguments)


@COMMANDS
def test_people_who_signed_are_named(writ: Callable[..., Done], command: str) -> None:
    done = writ(command)

    assert "signed    prod by ana, bo (takes 2 of 3 keys)\n" in done.out
    assert (done.err, "waiting" in done.out) == ("", False)


@COMMANDS
def test_machines_read_who_signed(writ: Callable[..., Done], command: str) -> None:
    found = writ(command, "--format", "json").json

    assert found["signatures"] == [{"role": "prod", "by": ["ana", "bo"], "threshold": 2, "keys": 3}]
    assert (found["on_call"], found["listed"], found["emergency"], found["waiting"]) == (False, 2, [], None)
    newest = found["releases" if command == "verify" else "intervals"][-1]
    assert newest["approved_by"] == ["ana", "bo"]


@COMMANDS
def test_an_entry_in_force_is_shown(writ: Callable[..., Done], command: str) -> None:
    deny(writ)

    done = writ(command)

    assert 'emergency stop  deny  {"match": {"actions": ["service.*"]}}  until ' in done.out
    assert "signed    prod.oncall by di (takes 1 of 1 key)\n" in done.out
    assert writ(command, "--format", "json").json["emergency"][0]["id"] == "stop"


@COMMANDS
def test_an_on_call_selection_is_said_so(writ: Callable[..., Done], command: str) -> None:
    writ("rollback", "--channel", "prod", "--reason", "denies restarts")

    assert "on call   made this live; release 2 is what the channel's own role lists\n" in writ(command).out
    found = writ(command, "--format", "json").json
    assert (found["on_call"], found["listed"]) == (True, 2)


@COMMANDS
def test_what_waits_is_shown_with_its_signatures(writ: Callable[..., Done], peopled: World, command: str) -> None:
    peopled.folder.commit_policy("third")
    peopled.publish()

    done = writ(command)

    assert "waiting   release 3 (publish) as pending/prod/5.json, 0 of 2 signatures\n" in done.out
    waiting = writ(command, "--format", "json").json["waiting"]
    assert (waiting["pending"], waiting["release"]["release"], waiting["complete"]) == (5, 3, False)


@COMMANDS
def test_what_is_stale_is_a_warning(writ: Callable[..., Done], peopled: World, command: str) -> None:
    peopled.folder.commit_policy("third")
    peopled.publish()
    deny(writ)

    done = writ(command)

    assert "warning: pending/prod/5.json: is stale" in done.err
    assert "waiting" not in done.out


@COMMANDS
def test_what_was_tampered_with_is_a_warning(writ: Callable[..., Done], peopled: World, command: str) -> None:
    peopled.folder.commit_policy("third")
    peopled.publish()
    stored = peopled.store.get("pending/prod/5.json", max_bytes=10**6)
    document = json.loads(stored.body)
    document["roles"]["prod"]["signed"]["expires"] = "2099-01-01T00:00:00Z"
    peopled.store.put("pending/prod/5.json", json.dumps(document).encode(), if_etag=stored.etag)

    done = writ(command)

    assert done.err == "warning: pending/prod/5.json: would be valid until 2099-01-01, which is too long\n"


def test_an_earlier_moment_has_no_standing(writ: Callable[..., Done]) -> None:
    deny(writ)
    start = writ("live", "--format", "json").json["intervals"][0]["from"]

    found = writ("live", "--at", start, "--format", "json").json

    assert "emergency" not in found
    assert [entry["id"] for entry in found["intervals"][0]["brought_emergency"]] == ["stop"]


def test_an_entry_that_has_expired_is_not_in_force(writ: Callable[..., Done], peopled: World) -> None:
    deny(writ)
    reader = peopled.publisher().reader

    standing = standing_of(reader, reader.read(), peopled.now + timedelta(hours=5))

    assert standing.emergency == ()


def test_credentials_that_may_not_read_what_waits_are_a_warning(peopled: World, recording: type[Any]) -> None:
    class Denying(recording):
        def before(self, call: str) -> None:
            if "pending/" in call:
                raise StoreDeniedError(f"{call}: denied")

    reader = peopled.publisher(store=Denying(peopled.store)).reader

    standing = standing_of(reader, reader.read(), peopled.now)

    assert (standing.waiting, standing.warning) == (
        None,
        "what waits for signatures cannot be read with these credentials",
    )


def test_a_channel_of_one_machine_shows_its_key_and_looks_for_nothing_that_waits(
    world: World, recording: type[Any]
) -> None:
    world.publish()
    store = recording(world.store)
    reader = world.publisher(store=store).reader
    state = reader.read()

    standing = standing_of(reader, state, world.now)

    (signed,) = standing.signatures
    assert signed.by == (state.keys("prod")[0].keyid[:12],)
    assert not [call for call in store.calls if "pending" in call]
