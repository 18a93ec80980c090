"""A real sidecar that enforces the policies ``writ init`` writes, or others, from a store in a folder."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.cli.main import main

END_TIMEOUT_S = 60
TOKEN = "a-token-of-enough-length"


@dataclass
class RunningHost:
    """Where it answers, and the policies it enforces.

    `log` is what it wrote to stderr up to its first activation and, once ended, after it.
    """

    socket: Path
    repository: Path
    log: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Return the TCP port it listens on."""
        (serving,) = [line for line in self.log if '"serving"' in line]
        return int(json.loads(serving)["sockets"][-1].rpartition(",")[2].strip(" )"))


@contextmanager
def running_host(
    *python_flags: str, policies: Path | None = None, settings: str = "", configuration: str = ""
) -> Iterator[RunningHost]:
    """Publish the template's policies and yield a sidecar that has activated them; ended with the block.

    The folders below `policies`, if it is given, are published instead of the template's, with `settings` added to
    ``writ.yaml``. `configuration` is TOML for the sidecar, beside a file ``token`` that holds `TOKEN`.
    """
    folder = Path(tempfile.mkdtemp(prefix="writ-host-"))  # short: a Unix socket path has room for about 100 bytes
    try:
        yield from _run(folder, python_flags, policies, settings, configuration)
    finally:
        shutil.rmtree(folder)


def _run(
    folder: Path, python_flags: tuple[str, ...], policies: Path | None, settings: str, configuration: str
) -> Iterator[RunningHost]:
    store = (folder / "store").as_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        assert main(["-C", str(folder), "init", "policies", "--store", store]) == 0
        if policies:
            _replace(folder / "policies", policies, settings)
        for command in (["keys", "init", "--dev"], ["publish"]):
            assert main(["-C", str(folder / "policies"), *command]) == 0
    host = RunningHost(folder / "decision.sock", folder / "policies")
    arguments = ["run", "--store", store, "--channel", "prod", "--state", str(folder / "state")]
    arguments += ["--root", str(folder / "policies/trust/root.json"), "--socket", str(host.socket)]
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    (folder / "sidecar.toml").write_text(configuration)
    arguments += ["--config", str(folder / "sidecar.toml")]
    with subprocess.Popen(
        [sys.executable, *python_flags, "-m", "agent_sidecar", *arguments], stderr=subprocess.PIPE, text=True
    ) as sidecar:
        assert sidecar.stderr
        for line in sidecar.stderr:
            host.log.append(line)
            if '"activated"' in line:
                break
        try:
            yield host
        finally:
            sidecar.send_signal(signal.SIGTERM)
            host.log += sidecar.communicate(timeout=END_TIMEOUT_S)[1].splitlines(keepends=True)


def _replace(repository: Path, policies: Path, settings: str) -> None:
    for name in ("policies", "classify", "data", "tests"):
        shutil.rmtree(repository / name, ignore_errors=True)
    shutil.copytree(policies, repository, dirs_exist_ok=True)
    with (repository / "writ.yaml").open("a") as file:
        file.write(settings)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["add", "--all"], [*identity, "commit", "--quiet", "--message", "Other policies"]):
        subprocess.run(["git", "-C", str(repository), *command], check=True)
