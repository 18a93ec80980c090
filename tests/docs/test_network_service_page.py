"""The settings and commands of the page for network services, tried with a real sidecar, TLS and curl."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from cryptography import x509
from sidecar_bench import Bench, Process, new_bench, until
from signed_store import bundle, rules

from agent_sidecar.access.binding import binds

PAGE = (Path(__file__).parents[2] / "docs/how-to/let-a-network-service-ask.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDER = "/etc/writ"
TIMEOUT_S = 30


def blocks(section: str, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(SECTIONS[section]) if found == kind]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        made.store.publish(bundle(rules("allow"), number=1))
        (made.folder / "tls").mkdir()
        authority = Authority(made.folder / "tls", "ca")
        authority.server(also="pdp.example.com")
        authority.client("gateway", x509.UniformResourceIdentifier("spiffe://acme/gateway"))
        yield made


def shell(bench: Bench, command: str) -> str:
    here = command.replace(FOLDER, str(bench.folder))
    done = subprocess.run(["sh", "-ec", here], capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    return done.stdout


@contextmanager
def running(bench: Bench, settings: str) -> Iterator[Process]:
    here = re.sub(r'listen = "[^"]*"', 'listen = "127.0.0.1:0"', settings)
    (bench.folder / "sidecar.toml").write_text(here)
    process = bench.start("--config", str(bench.folder / "sidecar.toml")).wait_for(1)
    yield process
    assert process.stop() == 0


def ask(bench: Bench, process: Process, command: str) -> Any:
    """Run a line of curl as it is shown, but for where the sidecar of the test listens."""
    (serving,) = [each for each in process.events() if each["event"] == "serving"]
    port = serving["sockets"][-1].rpartition(",")[2].strip(" )")
    return json.loads(shell(bench, command.replace("curl ", f"curl --connect-to ::127.0.0.1:{port} ", 1)))


@pytest.mark.parametrize(
    "section",
    ["A token, on this machine", "From another machine: TLS", "Certificates instead of tokens"],
)
def test_a_caller_that_is_set_up_as_shown_gets_answers(bench: Bench, section: str) -> None:
    *commands, curl = blocks(section, "sh")
    if not (bench.folder / "gateway.token").exists():
        for command in (*blocks("A token, on this machine", "sh")[:1], *commands):
            shell(bench, command)
    (settings,) = blocks(section, "toml")

    with running(bench, settings) as process:
        assert "reason_code" in ask(bench, process, curl)["context"]


def test_a_token_is_changed_as_shown(bench: Bench) -> None:
    make, curl = blocks("A token, on this machine", "sh")
    (settings,) = blocks("A token, on this machine", "toml")
    (change,) = blocks("Change a token or a certificate", "sh")
    file = bench.folder / "gateway.token"
    shell(bench, make)
    old = file.read_text().strip()

    with running(bench, settings) as process:
        shell(bench, change)
        new = file.read_text().split()[1]

        def works(token: str) -> bool:
            return "context" in ask(bench, process, curl.replace(f"$(cat {FOLDER}/gateway.token)", token))

        until(lambda: works(new), "the new token")
        assert works(old)
        assert file.stat().st_mode & 0o077 == 0


def test_the_binds_shown_are_read() -> None:
    (shown,) = blocks("Say who may speak as whom", "toml")

    made = binds(tomllib.loads(shown)["bind"])

    assert [each.name for each in made] == ["1000", "gateway", "uri:spiffe://acme/ns/prod/*"]
