"""``writ drill rollback``: what it rehearses, what it finds missing, and that it leaves nothing behind."""

import json
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization

from builder.cli.main import INTERRUPTED, main
from builder.drilling import readiness
from builder.drilling import rollback as drilling
from builder.publishing import workspace as workspaces
from policy_core.trust.layout import target_object

World = Any  # of conftest.py
GitFolder = Any  # of tests/conftest.py


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def missing(self) -> list[str]:
        return [each["message"] for each in self.json["missing"]]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let temporary files lie where nothing else does."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def drill(scratch: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    def run(folder: GitFolder, *arguments: str) -> Done:
        capfdbinary.readouterr()
        code = main(["-C", str(folder.path), "drill", "rollback", "--channel", "prod", *arguments])
        printed = capfdbinary.readouterr()
        return Done(code, printed.out.decode(), printed.err.decode())

    return run


@pytest.fixture
def at_night(peopled: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Releases 1 and 2 of prod, signed by two people; Di is on call, and has all the keys it takes."""
    peopled.folder.commit({"trust/root.json": peopled.trusted_root.decode()})
    peopled.folder.commit_policy("second")
    peopled.publish()
    peopled.approve("ana", "bo")
    for name, value in peopled.person("di").ring("prod.oncall").environment.items():
        monkeypatch.setenv(name, value)
    return peopled


def test_everything_is_rehearsed_with_seconds(at_night: World, drill: Callable[..., Done]) -> None:
    done = drill(at_night.folder, "--format", "json")

    assert (done.code, done.json["ready"], done.missing) == (0, True, [])
    assert (done.json["live"]["release"], done.json["target"]["release"]) == (2, 1)
    assert [step["step"] for step in done.json["rehearsed"]] == [
        "rollback signed and committed",
        "a host that polls sees the rollback",
        "the bundle, on its disk already, is loaded",
        "deny signed and committed",
        "a host that polls sees the deny",
        "the deny decides a request",
        "lift signed and committed",
        "a host that polls sees the lift",
    ]
    assert all(step["seconds"] > 0 for step in (*done.json["read"], *done.json["rehearsed"]))
    loaded = next(step for step in done.json["rehearsed"] if "on its disk" in step["step"])
    assert loaded["requests"] == 0


def test_people_read_where_it_would_go_and_that_nothing_is_missing(at_night: World, drill: Callable[..., Done]) -> None:
    done = drill(at_night.folder)

    assert done.out.startswith("prod: release 2 is live; one person on call would go back to release 1\n")
    assert done.out.endswith("✓ nothing is missing\n")
    assert done.err == ""


def test_the_store_is_only_read(
    at_night: World, drill: Callable[..., Done], recording: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = recording(at_night.store)
    monkeypatch.setattr(workspaces, "open_reader", lambda _: store)
    monkeypatch.setattr(workspaces, "open_store", lambda _: store)
    before = {path: path.read_bytes() for path in (at_night.tmp_path / "store").rglob("*") if path.is_file()}

    assert drill(at_night.folder).code == 0

    assert store.calls
    assert [call for call in store.calls if not call.startswith("get ")] == []
    assert before == {path: path.read_bytes() for path in (at_night.tmp_path / "store").rglob("*") if path.is_file()}


def test_no_key_of_the_copy_is_a_real_one(
    at_night: World, drill: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    make_copy = drilling.make_copy

    def watched(*arguments: Any) -> Any:
        copy = make_copy(*arguments)
        seen.append(key_ids(copy.publisher))
        assert all(uri.startswith(("env:KEY_", "-----BEGIN")) for uri in copy.publisher.key_ring.environment.values())
        return copy

    monkeypatch.setattr(drilling, "make_copy", watched)
    drill(at_night.folder)

    assert seen[0].isdisjoint(key_ids(at_night.publisher()))


def key_ids(publisher: Any) -> set[str]:
    state = publisher.reader.read()
    return {*state.root.keys, *state.targets.delegations.keys}


def test_thresholds_in_the_copy_are_those_in_earnest(
    at_night: World, drill: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    real = drilling.make_copy

    def watched(*arguments: Any) -> Any:
        copy = real(*arguments)
        state = copy.publisher.reader.read()
        seen.append((len(state.keys("prod")), state.threshold("prod")))
        return copy

    monkeypatch.setattr(drilling, "make_copy", watched)
    drill(at_night.folder)

    assert seen == [(3, 2)]


@pytest.mark.parametrize("where", ["make_copy", "add_emergency"])
def test_nothing_is_left_behind_by_ctrl_c(
    at_night: World, drill: Callable[..., Done], scratch: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    real = getattr(drilling, where)

    def interrupted(*arguments: Any) -> Any:
        real(*arguments)
        assert list(scratch.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(drilling, where, interrupted)

    assert drill(at_night.folder).code == INTERRUPTED
    assert list(scratch.iterdir()) == []


def test_nothing_is_left_behind(at_night: World, drill: Callable[..., Done], scratch: Path) -> None:
    drill(at_night.folder)

    assert list(scratch.iterdir()) == []


def test_a_key_that_is_not_here_is_missing(
    at_night: World, drill: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WRIT_SIGNER_PROD_ONCALL")
    at_night.keys.path("timestamp").unlink()

    done = drill(at_night.folder, "--format", "json")

    assert done.code == 2
    assert [message.split(": no key at ")[0] for message in done.missing] == ["role prod.oncall", "role timestamp"]
    assert len(done.json["rehearsed"]) == 8
    assert "hint: on call needs it at hand" in done.err


def test_a_foreign_key_is_missing(at_night: World, drill: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    for value in at_night.person("eve").ring("prod.oncall").environment.values():
        monkeypatch.setenv("WRIT_SIGNER_PROD_ONCALL", value)

    (missing,) = drill(at_night.folder, "--format", "json").missing

    assert missing.endswith("WRIT_SIGNER_PROD_ONCALL: is none of the role's keys")


def test_a_key_that_only_its_passphrase_opens_is_not_tried(at_night: World, drill: Callable[..., Done]) -> None:
    path = at_night.keys.path("snapshot")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )

    done = drill(at_night.folder)

    assert done.code == 0
    assert "! not tried: the key of snapshot (encrypted, not opened)\n" in done.out


def test_a_live_bundle_that_is_gone_is_missing(at_night: World, drill: Callable[..., Done]) -> None:
    live = at_night.seen().release
    (at_night.tmp_path / "store" / target_object("prod", live.name, live.sha256)).unlink()

    done = drill(at_night.folder, "--format", "json")

    assert done.code == 6
    assert done.json["rehearsed"] == []


def test_a_damaged_bundle_to_go_back_to_is_missing_and_the_deny_is_rehearsed(
    at_night: World, drill: Callable[..., Done]
) -> None:
    older = at_night.history()[1]
    victim = at_night.tmp_path / "store" / target_object("prod", older.name, older.sha256)
    victim.chmod(0o600)
    victim.write_bytes(b"\0" * older.length)

    done = drill(at_night.folder, "--format", "json")

    assert done.code == 5
    assert done.json["rehearsed"][0]["step"] == "deny signed and committed"


def test_expired_roles_that_nobody_on_call_signs_are_missing(
    at_night: World, drill: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "system_clock", lambda: at_night.now + timedelta(days=200))

    done = drill(at_night.folder, "--format", "json")

    assert done.code == 5
    assert [message[:19] for message in done.missing] == ["role prod: expired "]


def test_what_on_call_selected_before_is_live_in_the_copy(
    at_night: World, drill: Callable[..., Done], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    at_night.folder.commit_policy("third")
    at_night.publish()
    at_night.approve("ana", "bo")
    main(["-C", str(at_night.folder.path), "rollback", "--channel", "prod", "--reason", "broken"])

    done = drill(at_night.folder, "--format", "json")

    assert (done.json["live"]["release"], done.json["target"]["release"]) == (4, 1)
    assert done.json["ready"]


def test_a_limit_for_people_on_call_is_kept_and_does_not_disturb_the_copy(
    at_night: World, drill: Callable[..., Done]
) -> None:
    settings = (at_night.folder.path / "writ.yaml").read_text() + "hosts: {min_release: {prod: 2}}\n"
    at_night.folder.commit({"writ.yaml": settings})
    at_night.publish()
    at_night.approve("ana", "bo")

    done = drill(at_night.folder, "--format", "json")

    assert (done.code, done.json["live"]["release"], done.json["target"]["release"]) == (0, 3, 2)


class TestAChannelOfOneKey:
    @pytest.fixture
    def folder(self, policy_repository: Callable[..., GitFolder], file_url: str) -> GitFolder:
        folder = policy_repository(file_url)
        main(["-C", str(folder.path), "keys", "init", "--dev"])
        return folder

    def test_nobody_on_call_and_nowhere_to_go_are_missing(self, folder: GitFolder, drill: Callable[..., Done]) -> None:
        main(["-C", str(folder.path), "publish"])

        done = drill(folder, "--format", "json")

        assert done.code == 2
        assert done.missing[0].startswith("channel prod: offers no earlier release with another policy")
        assert done.missing[1:] == ["channel prod: nobody is on call for it"]
        assert done.json["target"] is None

    def test_without_a_release_there_is_nothing_to_rehearse(
        self, folder: GitFolder, drill: Callable[..., Done]
    ) -> None:
        done = drill(folder)

        assert (done.code, done.out) == (2, "")
        assert "nothing was ever released" in done.err
