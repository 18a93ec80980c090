"""A real nginx with the configuration that the documentation shows, in front of an S3 server without TLS.

Without ``nginx`` on the PATH these tests are skipped; with ``WRIT_TEST_NGINX=required`` they fail instead.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
REQUIRED = os.environ.get("WRIT_TEST_NGINX") == "required"  # read before tests get an environment of their own
START_TIMEOUT_S = 10
LOG = "$request_method $request_uri $status $upstream_cache_status $request_length $bytes_sent"


@dataclass(frozen=True)
class Request:
    """One line of the log: `cache` is nginx's word for what its cache did, `-` where it was not asked."""

    method: str
    name: str
    status: int
    cache: str
    bytes_up: int
    bytes_down: int


@dataclass
class Nginx:
    """Serves `url`; its certificate, in `certificate`, is its own authority."""

    url: str
    folder: Path
    certificate: Path

    def requests(self) -> list[Request]:
        """Return what was asked since the last call."""
        time.sleep(0.05)  # a request is logged after its answer has left
        log = self.folder / "access.log"
        lines = [line.split() for line in log.read_text().splitlines()]
        os.truncate(log, 0)
        return [Request(m, name, int(status), cache, int(up), int(down)) for m, name, status, cache, up, down in lines]


@contextmanager
def nginx(configuration: str, *, folder: Path, certificate: Path, behind: str, prefix: str) -> Iterator[Nginx]:
    """Run nginx with the page's configuration, whose addresses become those of the test."""
    if not PROGRAM:
        if REQUIRED:
            pytest.fail("nginx is not on the PATH")
        pytest.skip("nginx is not on the PATH")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("cache", "temp"):
        (folder / name).mkdir(parents=True)
    changes = {
        r"/var/cache/nginx/writ": str(folder / "cache"),
        r"server acme-policies\.\S+:443;": f"server {behind};",
        r"proxy_set_header Host \S+;": f"proxy_set_header Host {behind};",
        r"https://writ_bucket": "http://writ_bucket",
        r"/agents\$uri": f"/{prefix}$uri",
        r"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        r"/etc/nginx/tls/policies\.(pem|key)": str(certificate),
    }
    for pattern, replacement in changes.items():
        configuration, count = re.subn(pattern, replacement, configuration)
        assert count, pattern
    temporary = "".join(
        f"{kind}_temp_path {folder}/temp/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\nlog_format test '{LOG}';\naccess_log {folder}/access.log test;\n{temporary}{configuration}}}\n"
    )
    process = subprocess.Popen([PROGRAM, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.PIPE)
    try:
        _wait_for(port, process)
        yield Nginx(f"https://127.0.0.1:{port}", folder, certificate)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError((process.stderr.read() if process.stderr else b"").decode())
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("nginx did not start")
