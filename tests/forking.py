"""Sidecars by the hundred: ``python -m forking`` has all modules loaded and forks a sidecar for each line.

A line is a JSON list, the arguments of ``writ-sidecar run``; the answer is the process id. Whoever asked kills it.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


class Forker:
    """The parent's side."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, *arguments: str) -> int:
        """Start a sidecar and return its process id."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def forker(log: Path) -> Iterator[Forker]:
    """Yield a way to start sidecars, which write to one log; whatever is left of them ends with the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}
    with log.open("wb") as errors, subprocess.Popen(
        [sys.executable, "-m", "forking"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
    ) as process:  # fmt: skip
        yield Forker(process)
        process.communicate()  # the end of its input is the end of it, and of the last sidecar


def _serve() -> None:
    import signal

    from agent_sidecar import daemon  # noqa: F401  loaded here, once
    from agent_sidecar.cli.main import main

    child = 0
    for line in sys.stdin:
        _end(child)
        child = os.fork()
        if not child:
            try:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                main(["run", *json.loads(line)])
            finally:
                os._exit(1)
        print(child, flush=True)
    _end(child)


def _end(child: int) -> None:
    import signal

    if child:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    _serve()
