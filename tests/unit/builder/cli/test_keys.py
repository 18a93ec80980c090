"""``writ keys show`` and ``writ keys add-channel``, and ``writ maintain``, as a person runs them."""

import datetime
import json
import os
import shutil
import types
from collections.abc import Callable
from functools import partial
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
from builder.publishing.publisher import Publisher

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
        assert (
            "warning: root expires in 24 days: run `writ maintain` where its key is, or `writ keys renew" in shown.err
        )
        assert "warning: prod expired on " in shown.err
        assert shown.out.count(", due\n") == 5

    def test_warns_of_a_channel_that_the_store_does_not_have(self, writ: Run, folder: Any) -> None:
        add_to_settings(folder, "staging")

        shown = writ("keys", "show")

        assert "warning: staging is not in the store yet: run `writ keys add-channel staging`" in shown.err
        assert "staging" not in shown.out

    def test_advises_nothing_for_a_channel_that_is_no_longer_named(
        self, writ: Run, folder: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_to_settings(folder, "staging")
        assert writ("keys", "add-channel", "staging").code == 0
        settings = (folder.path / "writ.yaml").read_text()
        folder.commit({"writ.yaml": settings.replace("[prod, staging]", "[prod]")})
        later(monkeypatch, days=170, hours=1)

        shown = writ("keys", "show")

        assert "warning: staging expires in 9 days: writ.yaml does not name it, so nothing renews it" in shown.err

    def test_a_forged_store_is_not_shown(self, writ: Run, tmp_path: Path) -> None:
        file = tmp_path / "store/metadata/1.targets.json"
        file.write_bytes(file.read_bytes().replace(b'"threshold": 1', b'"threshold": 0'))
        file.write_bytes(file.read_bytes().replace(b'"threshold":1', b'"threshold":0'))

        shown = writ("keys", "show")

        assert (shown.code, shown.out) == (5, "")


class TestAddChannel:
    def test_that_writ_yaml_does_not_name_is_refused(self, writ: Run) -> None:
        refused = writ("keys", "add-channel", "staging")

        assert (refused.code, refused.out) == (2, "")
        assert "error: channel staging: is not in writ.yaml" in refused.err

    @pytest.mark.parametrize("name", ["root", "../x", "Prod", "-x\n", ""])
    def test_with_a_bad_name_is_refused(self, writ: Run, keys: Path, name: str) -> None:
        before = sorted(keys.iterdir())

        assert writ("keys", "add-channel", "--", name).code == 2
        assert sorted(keys.iterdir()) == before

    def test_is_previewed_by_a_dry_run(self, writ: Run, folder: Any, keys: Path, tmp_path: Path) -> None:
        add_to_settings(folder, "staging")
        before = sorted((tmp_path / "store").rglob("*"))

        shown = writ("keys", "add-channel", "staging", "--dry-run")

        assert shown.code == 0
        assert shown.out == "staging: would be added\n"
        assert "version 1 to 2: delegates staging/* to one new role" in shown.err
        assert f"signed by  staging: 1 of 1 (new key file {keys / 'staging.pem'})" in shown.err
        assert f"signed by  targets: 1 of 1 ({keys / 'targets.pem'})" in shown.err
        assert not (keys / "staging.pem").exists()
        assert sorted((tmp_path / "store").rglob("*")) == before

    def test_that_somebody_else_must_sign_is_refused_by_name(self, writ: Run, folder: Any, keys: Path) -> None:
        add_to_settings(folder, "staging")
        (keys / "targets.pem").unlink()

        refused = writ("keys", "add-channel", "staging")

        assert refused.code == 2
        assert "signed by  targets: 1 of 1 (not here)" in refused.err
        assert "must be signed by targets too" in refused.err

    def test_then_it_is_published_to_and_verified(self, writ: Run, folder: Any) -> None:
        add_to_settings(folder, "staging")
        refused = writ("publish", "--channel", "staging")
        assert refused.code == 2
        assert "`writ keys add-channel staging`" in refused.err

        added = writ("keys", "add-channel", "staging", "--format", "json")

        assert (added.code, added.json["added"]) == (0, True)
        for arguments in (("publish", "--channel", "staging"), ("publish",), ("verify", "--channel", "staging")):
            ran = writ(*arguments)
            assert ran.code == 0, ran.err
        assert writ("keys", "add-channel", "staging").out == "staging: is in the store already, nothing to do\n"
        assert "staging" in roles(writ("keys", "show", "--format", "json"))

    def test_that_is_not_there_yet_does_not_stop_the_refresh(self, writ: Run, folder: Any) -> None:
        add_to_settings(folder, "staging")

        for command in ("refresh", "maintain"):
            ran = writ(command)
            assert ran.code == 0, ran.err
            assert "warning: channel staging is not in the store yet" in ran.err


class TestMaintain:
    def test_says_that_nothing_is_due(self, writ: Run) -> None:
        assert writ("maintain") == Ran(0, "nothing is due\n", "")
        assert writ("maintain", "--format", "json").json == {"renewed": []}

    def test_signs_anew_and_warns_of_what_it_cannot_sign(
        self, writ: Run, keys: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later_now = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=310)
        clock = types.SimpleNamespace(
            datetime=types.SimpleNamespace(now=lambda _: later_now), timezone=datetime.timezone
        )
        monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)
        monkeypatch.setattr("builder.publishing.workspace.Publisher", partial(Publisher, clock=lambda: later_now))
        (keys / "root.pem").unlink()

        kept = writ("maintain")

        assert kept.code == 0
        assert kept.out.splitlines() == [
            f"{role}: signed anew" for role in ("prod", "snapshot", "targets", "timestamp")
        ]
        assert "warning: root expires on " in kept.err

    def test_does_not_sign_over_a_store_that_was_put_back(self, writ: Run, folder: Any, tmp_path: Path) -> None:
        assert writ("publish").code == 0
        shutil.copytree(tmp_path / "store", tmp_path / "backup")
        folder.commit_policy("second")
        assert writ("publish").code == 0
        shutil.rmtree(tmp_path / "store")
        shutil.copytree(tmp_path / "backup", tmp_path / "store")

        assert writ("maintain").code == 5
