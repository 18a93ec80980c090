"""``writ keys show`` and ``writ keys add-channel``, and ``writ maintain``, as a person runs them."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from builder.cli.main import main

Run = Callable[..., Any]


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def folder(policy_repository: Callable[..., Any], file_url: str) -> Any:
    return policy_repository(file_url)


@pytest.fixture
def writ(folder: Any, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Ran:
        code = main(["-C", str(folder.path), *arguments])
        return Ran(code, *capsys.readouterr())

    assert run("keys", "init", "--dev").code == 0
    return run


@pytest.fixture
def keys(writ: Run, tmp_path: Path) -> Path:
    """Return the directory of the keys."""
    import os

    return Path(os.environ["XDG_CONFIG_HOME"]) / "writ/keys/demo-policies"


def add_to_settings(folder: Any, channel: str) -> None:
    settings = (folder.path / "writ.yaml").read_text()
    folder.commit({"writ.yaml": settings.replace("channels: [prod]", f"channels: [prod, {channel}]")})
    assert channel in (folder.path / "writ.yaml").read_text()


def roles(run: Ran) -> Any:
    return {role["role"]: role for role in run.json["roles"]}


def later(monkeypatch: pytest.MonkeyPatch, **span: int) -> datetime.datetime:
    """Let it be later for the command, but not for the client that verifies."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(**span)
    for module in ("builder.publishing.holdings", "builder.auditing"):
        monkeypatch.setattr(f"{module}.system_clock", lambda: now)
    return now


class TestShow:
    def test_names_roles_thresholds_keys_and_expiry(self, writ: Run, keys: Path) -> None:
        shown = writ("keys", "show")

        assert shown.code == 0
        assert shown.err == ""
        lines = shown.out.splitlines()
        assert [line.split(":")[0] for line in lines[::2]] == ["root", "targets", "snapshot", "timestamp", "prod"]
        assert lines[0].startswith("root: 1 of 1, version 1, expires 20")
        assert lines[1].endswith(f"ed25519  here: {keys / 'root.pem'}")

    def test_tells_machines_the_same(self, writ: Run, keys: Path) -> None:
        shown = roles(writ("keys", "show", "--format", "json"))

        (key,) = shown["prod"]["keys"]
        assert key["here"] is True
        assert len(key["id"]) == 64
        assert shown["prod"]["source"] == str(keys / "prod.pem")
        assert (shown["prod"]["due"], shown["prod"]["warning"]) == (False, "")

    def test_a_key_that_is_elsewhere_is_not_here(self, writ: Run, keys: Path) -> None:
        (keys / "root.pem").unlink()

        shown = roles(writ("keys", "show", "--format", "json"))

        assert shown["root"]["source"] == ""
        assert shown["root"]["keys"][0]["here"] is False

    def test_a_wrong_key_is_told(self, writ: Run, keys: Path) -> None:
        (keys / "root.pem").write_bytes((keys / "prod.pem").read_bytes())

        assert "root.pem (is none of the role's keys)" in writ("keys", "show").out

    def test_an_encrypted_key_is_not_opened(self, writ: Run, keys: Path) -> None:
        key = load_pem_private_key((keys / "root.pem").read_bytes(), None)
        (keys / "root.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        )

        assert "root.pem (encrypted, not opened)" in writ("keys", "show").out

    @pytest.mark.parametrize(
        ("uri", "note"),
        [("awskms:alias/x", "a service, not asked"), ("hunter2", "WRIT_SIGNER_PROD: is no signer URI")],
    )
    def test_a_signer_is_not_asked(self, writ: Run, uri: str, note: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WRIT_SIGNER_PROD", uri)

        shown = roles(writ("keys", "show", "--format", "json"))

        assert (shown["prod"]["source"], shown["prod"]["note"]) == ("WRIT_SIGNER_PROD", note)

    def test_warns_of_what_runs_out(self, writ: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        later(monkeypatch, days=340, hours=1)

        shown = writ("keys", "show")

        assert shown.code == 0
        assert "warning: root expires in 24 days: run `writ maintain` where its key is" in shown.err
        assert "warning: prod expired on " in shown.err
        assert shown.out.count(", due\n") == 5

    def test_warns_of_a_channel_that_the_store_does_not_have(self, writ: Run, folder: Any) -> None:
        add_to_settings(folder, "staging")

        shown = writ("keys", "show")

        assert "warning: staging is not in the store yet: run `writ keys add-channel staging`" in shown.err
        assert "staging" not in shown.out

    def test_a_forged_store_is_not_shown(self, writ: Run, tmp_path: Path) -> None:
        file = tmp_path / "store/metadata/1.targets.json"
        file.write_bytes(file.read_bytes().replace(b'"threshold": 1', b'"threshold": 0'))
        file.write_bytes(file.read_bytes().replace(b'"threshold":1', b'"threshold":0'))

        shown = writ("keys", "show")

        assert (shown.code, shown.out) == (5, "")
