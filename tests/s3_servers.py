"""S3 servers for tests on loopback ports: moto in a thread, ministack in a process, Ceph where one was started.

Three, because each is wrong somewhere: moto's If-Match is no atomic compare-and-swap, ministack wants no right secret,
and Ceph, which is slow to start, compares If-Match without quotes.
"""

import functools
import http
import http.client
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

START_TIMEOUT_S = 20
WORKERS = "0"  # the server itself: a process beside it would outlive it
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
CEPH = os.environ.get("WRIT_TEST_CEPH", "")  # an endpoint, see `make ceph`; tests get an environment of their own


@contextmanager
def moto() -> Iterator[str]:
    """Yield the endpoint of a moto server in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def ministack() -> Iterator[str]:
    """Yield the endpoint of a ministack process; it inherits a socket that listens, so no port is lost to others."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        bind = ["--bind", f"fd://{listening.fileno()}", "--log-level", "error"]
        process = subprocess.Popen(
            [sys.executable, "-m", "hypercorn", "--workers", WORKERS, "ministack.app:app", *bind],
            pass_fds=[listening.fileno()],
            env={"PATH": os.environ["PATH"], "SERVICES": "s3", "LOG_LEVEL": "ERROR"},
        )
        try:
            ready = http.client.HTTPConnection(*listening.getsockname(), timeout=START_TIMEOUT_S)
            ready.request("GET", "/_ministack/health")
            assert ready.getresponse().status == http.HTTPStatus.OK
            ready.close()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.kill()
            process.wait()


@contextmanager
def ceph() -> Iterator[str]:
    """Yield the endpoint of the Ceph that runs already."""
    yield CEPH


EMULATORS: dict[str, Callable[[], AbstractContextManager[str]]] = {"moto": moto, "ministack": ministack}
SERVERS = EMULATORS | ({"ceph": ceph} if CEPH else {})


@functools.cache
def share_descriptions() -> None:
    """Let botocore read its descriptions of services once for all sessions: for each, that takes longer than a test."""
    import botocore.session

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)


def use(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point boto3, also of processes started later, at a server."""
    share_descriptions()
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def make_bucket() -> str:
    """Create a bucket of the test's own."""
    import boto3

    name = f"writ-{uuid.uuid4()}"
    boto3.session.Session().client("s3").create_bucket(Bucket=name)
    return name
