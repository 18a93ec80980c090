"""Sidecars that kill themselves: ``python -m killing`` has all modules loaded and forks a sidecar for each line.

A line is a JSON list: the disk operation of the first poll before which SIGKILL strikes (null: none), and the arguments
of ``writ-sidecar run``. The answer is how the process ended: -9, or 0 after a poll that was not cut short. Nothing in
the sidecar knows of this: the operations are those of Python's `os`, wrapped in the child.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OPERATIONS = ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "symlink", "ftruncate", "pwrite")


class Sidecars:
    """The parent's side."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, kill_before: int | None, *arguments: str) -> int:
        """Run a sidecar until its first poll has ended, or until it is killed in it; return its exit code."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([kill_before, arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def sidecars(log: Path) -> Iterator[Sidecars]:
    """Yield a way to run sidecars, which write to one log; everything ends with the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}
    with log.open("wb") as errors, subprocess.Popen(
        [sys.executable, "-m", "killing"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
    ) as process:  # fmt: skip
        yield Sidecars(process)
        process.communicate()  # the end of its input is the end of it


def _serve() -> None:
    from agent_sidecar import daemon  # noqa: F401  loaded here, once

    for line in sys.stdin:
        kill_before, arguments = json.loads(line)
        child = os.fork()
        if not child:
            try:
                _run(kill_before, arguments)
            finally:
                os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(kill_before: int | None, arguments: list[str]) -> None:
    from agent_sidecar.cli.main import main
    from agent_sidecar.updating import Updater

    left, polling, poll = kill_before, False, Updater.poll

    def counting(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **options: Any) -> Any:
            nonlocal left
            if polling and left is not None and threading.current_thread().name == "poller":
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return operation(*given, **options)

        return run

    def poll_once(self: Updater, **options: Any) -> None:
        nonlocal polling
        polling = True
        poll(self, **options)
        os._exit(0)

    for name in OPERATIONS:
        setattr(os, name, counting(getattr(os, name)))
    Updater.poll = poll_once  # type: ignore[method-assign, assignment]
    main(["run", *arguments])


if __name__ == "__main__":
    _serve()
