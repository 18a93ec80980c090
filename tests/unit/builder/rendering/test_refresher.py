"""What is rendered for a refresher is understood by what runs it."""

import configparser
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import check

from builder.cli.main import main
from builder.rendering.refresher import KUBERNETES, LAMBDA, SYSTEMD, files

STORE = "s3://acme-policies/agents"


def rendered(names: tuple[str, ...], store: str = STORE) -> Mapping[str, str]:
    return files(names, name="agents", store=store)


def exec_start(store: str) -> str:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read_string(rendered(SYSTEMD, store)["writ-refresh.service"])
    return unit["Service"]["ExecStart"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for name, content in rendered(SYSTEMD).items():
        (tmp_path / name).write_text(content.replace("/opt/writ/bin/writ", shutil.which("true") or ""))

    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in SYSTEMD)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_runs_a_command_that_there_is() -> None:
    program, *words = shlex.split(exec_start(STORE))

    assert program == "/opt/writ/bin/writ"
    check(["writ", *words])
    assert words[words.index("--store") + 1] == STORE


def test_what_means_something_to_systemd_is_escaped() -> None:
    assert '--store "file:///srv/a%%20b/$${HOME}/\\"x" ' in exec_start('file:///srv/a%20b/${HOME}/"x')


def test_the_timer_starts_the_service_every_hour_and_catches_up() -> None:
    timer = rendered(SYSTEMD)["writ-refresh.timer"]

    assert "OnCalendar=hourly\n" in timer
    assert "Persistent=yes\n" in timer


def manifests(store: str = STORE) -> dict[str, Any]:
    return {found["kind"]: found for found in yaml.safe_load_all(rendered(KUBERNETES, store)["writ-refresh.yaml"])}


def container(store: str = STORE) -> Any:
    pod = manifests(store)["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    return found


def test_the_job_runs_a_command_that_there_is() -> None:
    words = container()["args"]

    check(["writ", *words])
    assert words[words.index("--store") + 1] == STORE


def test_a_store_is_one_word_whatever_it_is_called() -> None:
    store = 'file:///srv/"#: {%,]'

    assert store in container(store)["args"]


def test_the_job_mounts_what_it_declares_and_has_no_more_rights_than_it_needs() -> None:
    pod = manifests()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]

    assert {mount["name"] for mount in container()["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True
    assert manifests()["PersistentVolumeClaim"]["metadata"]["name"] == "writ-refresh"


def test_the_image_that_the_job_takes_is_the_one_that_is_built() -> None:
    version = container()["image"].partition(":")[2]

    assert f'"writ-policy[builder]=={version}"' in rendered(KUBERNETES)["writ-refresh.Containerfile"]


class TestLambda:
    @pytest.fixture
    def handler(
        self, policy_repository: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], None]:
        folder = policy_repository((tmp_path / "store").as_uri())
        assert main(["-C", str(folder.path), "keys", "init", "--dev"]) == 0
        (name,) = LAMBDA
        code = tmp_path / "function" / name
        code.parent.mkdir()
        code.write_text(rendered(LAMBDA, (tmp_path / "store").as_uri())[name])
        shutil.copy(folder.path / "trust/root.json", code.parent)
        key = Path(os.environ["XDG_CONFIG_HOME"]) / "writ/keys/demo-policies/timestamp.pem"
        monkeypatch.setenv("WRIT_SIGNER_TIMESTAMP", f"file:{key}")
        spec = importlib.util.spec_from_file_location("writ_refresh_lambda", code)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return lambda: module.handler({}, None)

    def test_it_signs_the_timestamp_anew(self, handler: Callable[[], None], tmp_path: Path) -> None:
        def version() -> int:
            found = json.loads((tmp_path / "store/metadata/timestamp.json").read_bytes())["signed"]["version"]
            assert isinstance(found, int)
            return found

        before = version()

        handler()

        assert version() == before + 1

    def test_it_fails_where_nothing_was_signed(
        self, handler: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("WRIT_SIGNER_TIMESTAMP")

        with pytest.raises(RuntimeError, match="exit code 2"):
            handler()
