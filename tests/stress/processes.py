"""Processes that publish: ``python -m stress.processes`` has all modules loaded and forks itself for each task.

It reads a list of tasks in JSON from each line, runs them at the same time, each in a process of its own, and answers
with a line that lists how they ended. Starting Python anew for each would take a hundred times as long.
"""

import contextlib
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """An operation (with arguments) in a policy repository, for a store, with a fault at one request (0: none)."""

    operation: str
    repository: str
    store: str
    environment: Mapping[str, str]
    fault: str = ""
    at: int = 0
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a task ended: exit code (negative: signal), error message, requests to the store."""

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

    from stress import operations  # noqa: F401  loaded here, once

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
    from builder.publishing import workspace
    from bundle_store.opening import open_store
    from policy_core.errors import KnownError
    from stress.faults import FaultyStore
    from stress.operations import OPERATIONS

    os.environ.update(task.environment)
    store = FaultyStore(open_store(task.store), task.fault, task.at)
    workspace.open_store = lambda _: store
    try:
        OPERATIONS[task.operation].run(workspace.Workspace.open(Path(task.repository)), **task.arguments)
    except KnownError as error:
        return Ended(error.exit_code, error.message, store.requests)
    except Exception as error:  # noqa: BLE001  a bug, which the test shows
        return Ended(1, repr(error), store.requests)
    return Ended(0, requests=store.requests)


if __name__ == "__main__":
    _serve()
