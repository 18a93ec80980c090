"""Processes that publish: ``python -m stress.processes`` has all modules loaded and forks itself for each task.

It reads a list of tasks in JSON from each line, runs them at the same time, each in a process of its own, and answers
with a line that lists how they ended. Starting Python anew for each would take a hundred times as long.
"""

import contextlib
import gc
import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """A command of ``writ`` on a store, with a fault at one request (0: none)."""

    command: Sequence[str]
    store: str
    environment: Mapping[str, str]
    fault: str = ""
    at: int = 0


@dataclass(frozen=True)
class Ended:
    """How a task ended: exit code (negative: signal), errors, requests to the store."""

    code: int
    error: str = ""
    requests: list[str] = field(default_factory=list)


class Processes:
    """The parent's side."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, *tasks: Task) -> list[Ended]:
        """Run tasks at the same time and return how they ended, in their order."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([asdict(task) for task in tasks]) + "\n")
        self._process.stdin.flush()
        return [Ended(**ended) for ended in json.loads(self._process.stdout.readline())]


@contextlib.contextmanager
def processes() -> Iterator[Processes]:
    """Yield a way to run tasks; everything ends with the block."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-m", "stress.processes"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        yield Processes(process)
        process.communicate()  # the end of its input is the end of it


def _serve() -> None:
    import boto3
    import s3_servers

    # Commands load what they need late; here it is loaded once for all.
    from builder import rekeying, releasing  # noqa: F401
    from builder.cli import approve, ceremonies, emergency, keys, publish, refresh  # noqa: F401
    from builder.publishing import oncall  # noqa: F401

    s3_servers.share_descriptions()
    boto3.session.Session().client("s3", region_name="us-east-1")
    gc.freeze()  # what is loaded stays shared with the children
    for line in sys.stdin:
        closed, gate = os.pipe()
        started = [_start(Task(**task), closed, gate) for task in json.loads(line)]
        os.close(closed)
        os.close(gate)
        print(json.dumps([asdict(_end(process, answer)) for process, answer in started]), flush=True)


def _start(task: Task, closed: int, gate: int) -> tuple[int, int]:
    """Return a process, which waits until the gate that all have is closed, and where it will answer."""
    answer, answering = os.pipe()
    process = os.fork()
    if process:
        os.close(answering)
        return process, answer
    try:
        os.close(gate)
        os.read(closed, 1)
        with os.fdopen(answering, "w") as file:
            json.dump(asdict(_run(task)), file)
    finally:
        os._exit(0)


def _end(process: int, answer: int) -> Ended:
    with os.fdopen(answer) as file:
        text = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return Ended(**json.loads(text)) if text else Ended(code)


def _run(task: Task) -> Ended:
    from builder.cli.main import main
    from builder.publishing import workspace
    from bundle_store.opening import open_store
    from stress.faults import FaultyStore

    os.environ.update(task.environment)
    store = FaultyStore(open_store(task.store), task.fault, task.at)
    workspace.open_store = workspace.open_reader = lambda _: store
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(task.command)
        except Exception:  # noqa: BLE001  a bug, which the test shows
            code = 1
            traceback.print_exc()
    return Ended(code, errors.getvalue(), store.requests)


if __name__ == "__main__":
    _serve()
