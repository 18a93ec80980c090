"""What ``writ fleet`` costs for many hosts: requests and time, against an S3 server in a process of its own.

There is no peer: what is compared is the number of hosts. Each has reported twice in the slots that are listed, and is
enrolled; no report is read.
"""

import os
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring import table
from builder.fleet.judging import Live
from builder.fleet.listing import read_fleet
from builder.fleet.overview import text, view
from bundle_store.opening import open_records
from bundle_store.port import RecordsStore
from policy_core.decision_log.names import key_object
from policy_core.fleet.names import SLOT_S, HostState

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

NOW = 1_772_367_000.0
SIZES = (100, 1_000, 10_000)
WRITERS = 16


def run() -> None:
    """Print a row for each size of a fleet."""
    rows = [(f"{size:,}", *_listed(size)) for size in SIZES]
    table("A fleet, listed", ("hosts", "objects", "requests", "listing s", "judging and text s"), rows)


def _listed(size: int) -> tuple[object, ...]:
    with _server() as store:
        names = list(_names(size))
        with ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(lambda name: store.put(name, b"", if_etag=None), names))
        with _counting() as requests:
            started = time.perf_counter()
            fleet = read_fleet(store, ("prod",), now=NOW)
            listed = time.perf_counter()
        views = view(fleet, [Live(channel="prod", release=42, timestamp=7, signed_at=NOW - 3_600)], now=NOW)
        lines = text(views, fleet, now=NOW, show_all=False)
        judged = time.perf_counter()
    assert len(views[0].hosts) == size
    assert lines
    return f"{len(names):,}", len(requests), listed - started, judged - listed


def _names(size: int) -> Iterator[str]:
    """Yield what a fleet has put: a key and two reports for each host, one host in a hundred behind the others."""
    state = HostState(
        host="web", channel="prod", at=0, enforced=42, listed=42, timestamp=7, signed_at=int(NOW) - 3_600,
        freshness="fresh", marks=frozenset(), features="00000000", version="0.1.0",
    )  # fmt: skip
    for number in range(size):
        host = f"web-{number}"
        yield key_object(host, f"{number:064x}")
        for ago in (5, 5 + SLOT_S):
            release = 41 if number % 100 == 0 else 42
            yield replace(state, host=host, at=int(NOW) - ago - number % 400, enforced=release).name


@contextmanager
def _server() -> Iterator[RecordsStore]:
    from s3_servers import CREDENTIALS, make_bucket, ministack

    with ministack() as endpoint:
        os.environ |= {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1"}
        yield open_records(f"s3://{make_bucket()}/fleet-{uuid.uuid4().hex[:8]}")


@contextmanager
def _counting() -> Iterator[list[str]]:
    """Count the requests that boto3 sends."""
    from botocore.endpoint import Endpoint

    sent: list[str] = []
    original = Endpoint.make_request

    def counted(self: Endpoint, operation: object, request: object) -> object:
        sent.append(str(operation))
        return original(self, operation, request)

    Endpoint.make_request = counted
    try:
        yield sent
    finally:
        Endpoint.make_request = original


if __name__ == "__main__":
    run()
