"""Where the demo plays: a temporary directory, an environment of its own, and processes that end with it.

Every process runs in a session of its own: Ctrl-C reaches only the demo, which then ends them one by one, by id.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, TypeVar

from policy_core.errors import KnownError

COMMAND_TIMEOUT_S = 30.0
WAIT_TIMEOUT_S = 15.0
GRACE_S = 5.0
MAX_FOLDER_CHARS = 60  # the path of a Unix socket has room for 103 bytes on some systems
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# what could lead the demo's own traffic or git elsewhere
FOREIGN = ("AWS_", "GIT_", "WRIT_", "XDG_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PYTHONPATH", "PYTHONHOME")

Value = TypeVar("Value")


class DemoError(KnownError):
    """A step of the demo did not behave as expected; `output` is what it printed, told line by line."""

    default_hint = "something on this machine interferes, or this is a bug; `writ demo --keep` leaves the logs in place"

    def __init__(self, message: str, *, output: str = "") -> None:
        super().__init__(message)
        self.details = tuple(output.splitlines())


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command that ended has to say."""

    code: int
    stdout: str
    stderr: str


class Background:
    """A process that runs until the demo ends or stops it; its output goes to a log file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """Return what it has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def check_alive(self) -> None:
        """Raise DemoError with the end of its log if it has ended by itself."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.splitlines()[-20:])
            raise DemoError(f"{self.name}: ended with code {self.process.returncode}", output=tail)


class Stage:
    """A directory, an environment, and the processes running in them; made and cleared away by `open_stage`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = _environment(directory)
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, arguments: list[str]) -> Background:
        """Start ``python -m arguments…`` in the background."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = self._spawn([sys.executable, "-m", *arguments], stdout=output)
        return Background(name, process, log)

    def run(self, arguments: list[str], *, cwd: Path | None = None) -> Finished:
        """Run a command to its end. Raises DemoError if that takes too long."""
        process = self._spawn(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd)
        try:
            stdout, stderr = process.communicate(timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"{' '.join(arguments)}: did not end within {COMMAND_TIMEOUT_S:g} s") from error
        self._running.remove(process)
        return Finished(process.returncode, stdout.decode(), stderr.decode())

    def close(self) -> None:
        """End every process that is still running, the youngest first."""
        while self._running:
            _end(self._running.pop())

    def _spawn(
        self,
        arguments: list[str],
        *,
        stdout: IO[bytes] | int,
        stderr: int = subprocess.STDOUT,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        with _held_back():  # or a signal between fork and append would leave a process nobody knows
            process = subprocess.Popen(
                arguments,
                cwd=cwd or self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            self._running.append(process)
        return process


@contextmanager
def open_stage(*, keep: bool = False) -> Iterator[Stage]:
    """Yield a stage; however the block is left, end its processes and (unless `keep`) remove its directory.

    SIGTERM and SIGHUP interrupt the block as Ctrl-C does.
    """
    before = {number: signal.signal(number, _interrupt) for number in ENDING_SIGNALS}
    directory: Path | None = None
    stage: Stage | None = None
    try:
        with _held_back():
            directory = Path(tempfile.mkdtemp(prefix="writ-demo-", dir=_temporary_folder()))
        stage = Stage(directory)
        yield stage
    finally:
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # from here on there is only cleaning up
        if stage is not None:
            stage.close()
        if directory is not None and not keep:
            shutil.rmtree(directory)
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for(what: str, look: Callable[[], Value | None], *watched: Background) -> Value:
    """Call `look` until it returns something; raise DemoError if a watched process ends or it takes too long."""
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while True:
        found = look()
        if found is not None:
            return found
        for background in watched:
            background.check_alive()
        if time.monotonic() > deadline:
            raise DemoError(f"{what}: did not happen within {WAIT_TIMEOUT_S:g} s")
        time.sleep(0.05)


def _temporary_folder() -> str:
    """Return where temporary files go, unless that is too deep for the sockets the demo makes in it."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= MAX_FOLDER_CHARS else "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it


def _environment(directory: Path) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.upper().startswith(FOREIGN)}
    home = directory / "home"
    home.mkdir()
    return environment | {
        "HOME": str(home),
        "TMPDIR": str(directory),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "WRIT_ACTOR": "ada@demo.invalid",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@demo.invalid",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@demo.invalid",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)  # its session, hence its group, is its own
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _held_back() -> Iterator[None]:
    """Let signals that end the demo wait until the block is done."""
    pending: list[int] = []
    before = {number: signal.signal(number, lambda got, _: pending.append(got)) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            raise KeyboardInterrupt
