"""What every act works with: the policy repository, the S3 server, hosts, and commands whose outcome is insisted on."""

import difflib
import re
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from builder.demo.asking import Question, ask, status
from builder.demo.attacks import Bucket
from builder.demo.narration import Narrator
from builder.demo.stage import Background, DemoError, Stage, wait_for
from policy_core.trust.layout import ROOT_FILE

NAME, CHANNEL, PREFIX = "agents", "prod", "policies"
POLL = "1s"


@dataclass(frozen=True, slots=True)
class Host:
    """One enforcement host: its sidecar, and the folder it lives in."""

    folder: Path
    sidecar: Background
    store: str

    @property
    def socket(self) -> Path:
        """Return the decision socket."""
        return self.folder / "decision.sock"

    @property
    def state(self) -> Path:
        """Return the state directory."""
        return self.folder / "state"

    def release(self) -> int:
        """Return the number of the release it enforces, 0 for none."""
        enforced = status(self.socket)["enforced"]
        return int(enforced["release"]) if enforced else 0

    def refusal(self) -> str:
        """Return why it refused what the store offers, empty if it did not."""
        rejection = status(self.socket)["rejection"]
        return str(rejection["reason"]).rpartition(f"{self.store}: ")[2] if rejection else ""


@dataclass(slots=True)
class Scene:
    """The one object that acts share; `moments` are times at which releases 1, 2, … were live."""

    stage: Stage
    tell: Narrator
    s3: Background
    bucket: Bucket
    store: str
    moments: list[str] = field(default_factory=list)

    @property
    def repository(self) -> Path:
        """Return the policy repository."""
        return self.stage.directory / NAME

    def writ(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> list[str]:
        """Run ``writ`` in the policy repository, show it, and return what it printed, line by line."""
        self.tell.command(shlex.join(("writ", *arguments)))
        return self._run([sys.executable, "-m", "builder", *arguments], code, cwd=cwd)

    def sidecar(self, host: Host, *arguments: str) -> None:
        """Run an order to the sidecar of a host and show it."""
        self.tell.command(shlex.join(("writ-sidecar", *arguments)))
        self._run([sys.executable, "-m", "agent_sidecar", *arguments, "--state", str(host.state)], 0)

    def git(self, *arguments: str) -> list[str]:
        """Run git in the policy repository, show it, and return what it printed, line by line."""
        self.tell.command(shlex.join(("git", *arguments)))
        return self._run(["git", *arguments], 0)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that occurs once in a file of the policy repository, and show it as a diff would."""
        file = self.repository / path
        text = file.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise DemoError(f"{path}: the template has changed (expected once: {old!r})")
        file.write_text(text.replace(old, new), encoding="utf-8")
        changes = difflib.ndiff(old.splitlines(), new.splitlines())
        self.tell.output([f"--- {path}", *(line for line in changes if line.startswith(("-", "+")))])

    def start_host(self, name: str) -> Host:
        """Start a sidecar with an empty state; all it is given is the address of the store and the trust root."""
        folder = self.stage.directory / name
        folder.mkdir(mode=0o700)
        root = folder / "root.json"
        root.write_bytes((self.repository / ROOT_FILE).read_bytes())
        flags = ["run", "--store", self.store, "--channel", CHANNEL, "--poll", POLL]
        self.tell.command(shlex.join(("writ-sidecar", *flags, "--root", "root.json", "--state", "state")))
        given = ["--root", str(root), "--state", str(folder / "state"), "--socket", str(folder / "decision.sock")]
        host = Host(folder, self.stage.start(name, ["agent_sidecar", *flags, *given]), self.store)
        wait_for(f"{name}: decision socket", lambda: host.socket.exists() or None, host.sidecar)
        return host

    def watch(self, host: Host, what: str, look: Callable[[], Any]) -> float:
        """Wait until `look` finds something true and return the seconds that took."""
        start = time.monotonic()
        wait_for(what, lambda: look() or None, host.sidecar, self.s3)
        return time.monotonic() - start

    def expect(self, host: Host, question: Question, word: str) -> dict[str, Any]:
        """Ask a host, show its decision, and insist on its word."""
        answer = ask(host.socket, question)
        self.tell.decision(question.words, answer["decision"], f"release {answer['policy']['release']}")
        if answer["decision"] != word:
            raise DemoError(f"{question.words}: {answer['decision']} (expected {word}): {answer}")
        return answer

    def note_moment(self) -> None:
        """Remember the present second as one at which the newest release was live, and let it pass."""
        second = int(time.time())
        self.moments.append(datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        wait_for("the next second", lambda: int(time.time()) > second or None)

    def _run(self, command: list[str], code: int, *, cwd: Path | None = None) -> list[str]:
        done = self.stage.run(command, cwd=cwd or self.repository)
        if done.code != code:
            what = " ".join(command[-3:])
            output = done.stdout + done.stderr
            raise DemoError(f"{what}: ended with code {done.code} (expected {code})", output=output)
        return (done.stdout + done.stderr).splitlines()


def start_s3(stage: Stage) -> tuple[Background, str]:
    """Start an S3 server on a free loopback port, point the environment at it, and return it with its address."""
    server = stage.start("s3", ["moto.server", "-H", "127.0.0.1", "-p", "0"])
    found = wait_for("S3 server", lambda: re.search(r"http://127\.0\.0\.1:\d+", server.log), server)
    stage.environment["AWS_ENDPOINT_URL"] = found[0]
    return server, found[0]
