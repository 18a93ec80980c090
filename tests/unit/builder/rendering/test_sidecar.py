"""What is rendered to run a sidecar is understood by what runs it, and names commands and settings that there are."""

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import check

from agent_sidecar.configuration import SETTINGS, read_configuration
from builder.rendering.catalogue import Settings, find, render
from builder.rendering.sidecar import USER

GOLDEN = Path(__file__).parent / "sidecar"
STORE = "s3://acme-policies/agents"
FORMS = ("systemd", "docker", "kubernetes")
VARIABLES = {each.variable for each in SETTINGS}


def rendered(form: str, store: str = STORE) -> Mapping[str, str]:
    return render(find("sidecar"), form, Settings("agents", store, ("dev", "prod")))


def section(name: str, of: str) -> dict[str, list[str]]:
    """Return the values of each key in a section of a unit file."""
    found: dict[str, list[str]] = {}
    (text,) = re.findall(rf"^\[{of}\]\n(.*?)(?=^\[|\Z)", rendered("systemd")[name], re.MULTILINE | re.DOTALL)
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_the_files_are_those_that_were_looked_at(form: str) -> None:
    folder = GOLDEN / form
    files = rendered(form)
    if os.environ.get("UPDATE"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_text(content)

    assert {path.name: path.read_text() for path in folder.iterdir()} == dict(files)


class TestSystemd:
    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
    def test_it_finds_nothing_wrong_with_the_units(self, tmp_path: Path) -> None:
        units = {name: text for name, text in rendered("systemd").items() if name.endswith((".service", ".socket"))}
        for name, content in units.items():
            program = shutil.which("true") or ""
            (tmp_path / name).write_text(content.replace("/opt/writ/bin/writ-sidecar", program))
        (tmp_path / "writ-sidecar.service.d").mkdir()
        for name, content in rendered("systemd").items():
            if name.endswith(".conf"):
                (tmp_path / "writ-sidecar.service.d" / name).write_text(content)

        done = subprocess.run(
            ["systemd-analyze", "verify", *(str(tmp_path / name) for name in units)],
            capture_output=True, text=True, check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        )  # fmt: skip

        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
    def test_it_counts_the_service_as_well_contained(self, tmp_path: Path) -> None:
        unit = tmp_path / "writ-sidecar.service"
        unit.write_text(
            rendered("systemd")[unit.name].replace("/opt/writ/bin/writ-sidecar", shutil.which("true") or "")
        )

        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=25", str(unit)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert done.returncode == 0, done.stdout[-300:]

    def test_the_unit_runs_a_command_that_there_is(self) -> None:
        (command,) = section("writ-sidecar.service", "Service")["ExecStart"]
        program, *words = shlex.split(command)

        assert program == "/opt/writ/bin/writ-sidecar"
        check(["writ-sidecar", *words])

    def test_it_is_told_when_the_sidecar_is_ready_and_ends_one_that_hangs(self) -> None:
        service = section("writ-sidecar.service", "Service")

        assert service["Type"] == ["notify"]
        assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
        assert service["WatchdogSec"]

    def test_it_is_restarted_for_as_long_as_it_fails(self) -> None:
        unit, service = (section("writ-sidecar.service", each) for each in ("Unit", "Service"))
        restart_s, interval_s = (
            int(each[0].removesuffix("s")) for each in (service["RestartSec"], unit["StartLimitIntervalSec"])
        )

        assert int(unit["StartLimitBurst"][0]) > interval_s / restart_s + 1

    def test_the_socket_is_the_one_that_is_configured(self, tmp_path: Path) -> None:
        (tmp_path / "root.json").write_text("{}")
        file = tmp_path / "sidecar.toml"
        file.write_text(rendered("systemd")["prod.sidecar.toml"])

        configuration = read_configuration(file, {"root": tmp_path / "root.json"})

        socket = section("writ-sidecar.socket", "Socket")
        assert socket["ListenStream"] == [str(configuration.socket)]
        assert socket["FileDescriptorName"] == ["decision"]
        assert (configuration.store, configuration.channel) == (STORE, "prod")
        assert str(configuration.state) == "/var/lib/" + section("writ-sidecar.service", "Service")["StateDirectory"][0]

    def test_over_tcp_the_token_is_handed_over_by_systemd(self) -> None:
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(rendered("systemd")["writ-sidecar-tcp.conf"])
        tcp = section("writ-sidecar-tcp.conf", "Service")

        assert {each.partition("=")[0] for each in tcp["Environment"]} <= VARIABLES
        assert "WRIT_SIDECAR_TOKEN_FILE=%d/token" in tcp["Environment"]
        assert tcp["LoadCredential"] == ["token:/etc/writ/token"]

    def test_who_may_ask_may_decide_in_process_where_that_is_wanted(self) -> None:
        opened = section("writ-sidecar-in-process.conf", "Service")

        assert opened["Group"] == section("writ-sidecar.socket", "Socket")["SocketGroup"]
        assert {each.partition("=")[0] for each in opened["Environment"]} <= VARIABLES


def instructions(word: str, store: str = STORE) -> list[str]:
    text = rendered("docker", store)["Dockerfile"].replace("\\\n", " ")
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{word} ")]


class TestDocker:
    def test_it_runs_as_nobody_in_particular_and_without_a_shell(self) -> None:
        assert instructions("USER") == [f"{USER}:{USER}"]
        for word in ("RUN", "CMD", "ENTRYPOINT"):
            assert all(isinstance(json.loads(each), list) for each in instructions(word))

    def test_it_starts_and_looks_after_a_command_that_there_is(self) -> None:
        (entry,), (command,), (health,) = (instructions(word) for word in ("ENTRYPOINT", "CMD", "HEALTHCHECK"))

        check([*json.loads(entry), *json.loads(command)])
        check(json.loads(health.partition("CMD ")[2]))

    def test_it_is_told_by_variables_that_there_are(self, tmp_path: Path) -> None:
        found = dict(word.split("=", 1) for word in shlex.split(instructions("ENV")[0]))
        ours = {name: value for name, value in found.items() if name.startswith("WRIT_SIDECAR_")}
        (tmp_path / "root.json").write_text("{}")
        given = {**ours, "WRIT_SIDECAR_CHANNEL": "prod", "WRIT_SIDECAR_ROOT": str(tmp_path / "root.json")}

        assert read_configuration(None, {}, given).store == STORE

    def test_a_store_is_one_value_whatever_it_is_called(self) -> None:
        assert (
            'WRIT_SIDECAR_STORE="file:///srv/\\"x\\" \\${HOME}"'
            in rendered("docker", 'file:///srv/"x" ${HOME}')["Dockerfile"]
        )


def daemon_set(store: str = STORE) -> Any:
    account, found = yaml.safe_load_all(rendered("kubernetes", store)["prod.writ-sidecar.daemonset.yaml"])
    assert account["kind"] == "ServiceAccount"
    assert found["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]
    return found


def patch() -> Any:
    return yaml.safe_load(rendered("kubernetes")["prod.writ-sidecar.patch.yaml"])


def pods() -> dict[str, Any]:
    return {"node": daemon_set()["spec"]["template"]["spec"], "pod": patch()["spec"]["template"]["spec"]}


def containers(where: str) -> list[Any]:
    pod = pods()[where]
    return [each for each in (*pod["initContainers"], *pod["containers"]) if each["name"] != "app"]


def sidecar(where: str) -> Any:
    (found,) = [each for each in containers(where) if each["name"] == "writ-sidecar"]
    return found


@pytest.mark.parametrize("where", ["node", "pod"])
class TestKubernetes:
    def test_it_runs_and_probes_with_commands_that_there_are(self, where: str) -> None:
        found = sidecar(where)

        check(["writ-sidecar", *found["args"]])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            check(found[probe]["exec"]["command"])
        assert found["readinessProbe"]["exec"]["command"][-1] == "--ready"
        assert "--ready" not in found["livenessProbe"]["exec"]["command"], "what waits for a policy must not be killed"

    def test_it_is_told_by_variables_that_there_are(self, where: str, tmp_path: Path) -> None:
        variables = {each["name"]: each.get("value", "host-1") for each in sidecar(where)["env"]}
        (tmp_path / "root.json").write_text("{}")

        found = read_configuration(None, {}, {**variables, "WRIT_SIDECAR_ROOT": str(tmp_path / "root.json")})

        assert (found.store, found.channel) == (STORE, "prod")
        assert set(variables) <= VARIABLES

    def test_no_container_has_more_rights_than_it_needs(self, where: str) -> None:
        for container in containers(where):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"]["drop"] == ["ALL"]
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["resources"]["limits"]["memory"]
        assert sidecar(where)["securityContext"]["runAsNonRoot"] is True
        assert sidecar(where)["securityContext"]["runAsUser"] == USER

    def test_it_mounts_what_is_declared(self, where: str) -> None:
        pod = pods()[where]
        declared = {volume["name"] for volume in pod["volumes"]}

        assert {mount["name"] for mount in sidecar(where)["volumeMounts"]} == declared
        written = [mount["mountPath"] for mount in sidecar(where)["volumeMounts"] if not mount.get("readOnly")]
        state, socket = (
            next(each["value"] for each in sidecar(where)["env"] if each["name"] == f"WRIT_SIDECAR_{name}")
            for name in ("STATE", "SOCKET")
        )
        assert str(Path(state).parent) in written
        assert str(Path(socket).parent) in written


def test_the_only_container_of_root_is_the_one_that_gives_directories_away() -> None:
    (first,) = [each for each in containers("node") if each["name"] != "writ-sidecar"]

    assert first["command"] == ["chown", f"{USER}:{USER}", "/var/lib/writ", "/run/writ"]
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}


def test_the_daemon_set_selects_its_own_pods() -> None:
    found = daemon_set()

    assert found["spec"]["selector"]["matchLabels"] == found["spec"]["template"]["metadata"]["labels"]
    assert (found["apiVersion"], found["kind"]) == ("apps/v1", "DaemonSet")


def test_a_sidecar_of_a_pod_starts_before_the_application_and_cannot_be_replaced_by_it() -> None:
    pod = patch()["spec"]["template"]["spec"]
    (app,) = pod["containers"]

    assert sidecar("pod")["restartPolicy"] == "Always"
    assert app["volumeMounts"] == [{"name": "writ-socket", "mountPath": "/run/writ", "readOnly": True}]
    assert set(pod) == {"initContainers", "containers", "volumes"}, "nothing else of the application is changed"


def test_a_store_is_one_word_whatever_it_is_called() -> None:
    store = 'file:///srv/"#: {%,]'

    variables = daemon_set(store)["spec"]["template"]["spec"]["containers"][0]["env"]

    assert {"name": "WRIT_SIDECAR_STORE", "value": store} in variables
