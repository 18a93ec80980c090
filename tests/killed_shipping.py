"""Hosts that log, ship and kill themselves: ``python -m killed_shipping`` has all loaded and forks one for each line.

A line is a JSON list: the operation before which SIGKILL strikes (null: none), the state directory, the two stores, and
the numbers to log. What the host has logged is told on stdout, number by number, as a caller would have been answered.
Nothing in the sidecar knows of this: the operations are those of Python's `os` and of the store, wrapped in the child.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OPERATIONS = ("open", "write", "fsync", "fdatasync", "rename", "replace", "unlink", "ftruncate", "mkdir")
STORE_OPERATIONS = ("put", "get")


class Hosts:
    """The parent's side."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(
        self, kill_before: int | None, *, state: Path, logs: str, records: str, numbers: list[int]
    ) -> tuple[int, list[int]]:
        """Run a host until it has shipped what it logged, or is killed; return its exit code, and what was logged."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([kill_before, str(state), logs, records, numbers]) + "\n")
        self._process.stdin.flush()
        logged = []
        while not (line := self._process.stdout.readline()).startswith("ended"):
            logged.append(int(line))
        return int(line.split()[1]), logged


@contextlib.contextmanager
def hosts(errors: Path) -> Iterator[Hosts]:
    """Yield a way to run hosts; everything ends with the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}
    with errors.open("wb") as stderr, subprocess.Popen(
        [sys.executable, "-m", "killed_shipping"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment,
    ) as process:  # fmt: skip
        yield Hosts(process)
        process.communicate()


def _serve() -> None:
    import s3_servers

    import agent_sidecar.decision_log.shipper  # noqa: F401  loaded here, once
    import bundle_store.s3  # noqa: F401

    s3_servers.share_descriptions()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                _run(*json.loads(line))
            finally:
                os._exit(1)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(kill_before: int | None, state: str, logs: str, records: str, numbers: list[int]) -> None:
    from agent_sidecar.decision_log.shipper import Shipper
    from agent_sidecar.decision_log.spool import Spool
    from agent_sidecar.history import moment
    from agent_sidecar.host_key import open_host_key
    from agent_sidecar.reports.enrolling import Enrolment
    from bundle_store.file import FileStore
    from bundle_store.opening import open_records
    from bundle_store.s3 import S3Store

    tell = os.fdopen(os.dup(1), "w", buffering=1)
    at = 1_772_366_400.0 + numbers[0]
    left = kill_before

    def dying(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **options: Any) -> Any:
            nonlocal left
            if left is not None:
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return operation(*given, **options)

        return run

    for name in OPERATIONS:
        setattr(os, name, dying(getattr(os, name)))
    for store in (FileStore, S3Store):
        for name in STORE_OPERATIONS:
            setattr(store, name, dying(getattr(store, name)))
    directory = Path(state)
    directory.mkdir(exist_ok=True)
    signer = open_host_key(directory, host="web-1", now=at)
    spool = Spool(directory / "spool", host="web-1", signer=signer, clock=lambda: at, max_bytes=64 << 20)
    spool.open()
    for number in numbers:
        spool.append((b"decision", moment(at), b',"n":%d' % number))
        print(number, file=tell)
    Enrolment(open_records(records), signer).tend()
    Shipper(spool, open_records(logs), every_s=60.0).last_turn()
    os._exit(0)


if __name__ == "__main__":
    _serve()
