"""A disk that takes what is written and then fails to sync it, made by strace in a real sidecar."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import spooled
from asking_load import REQUEST
from signed_store import SignedStore, bundle, rules

from agent_sidecar.calling import call
from agent_sidecar.host_key import KEY_FILE

STRACE = shutil.which("strace")
PATIENCE_S = 30.0
ASKED = 40


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_an_allowed_reply_never_leaves_if_the_disk_would_not_sync_its_record(tmp_path: Path) -> None:
    store, address = SignedStore(tmp_path / "store"), tmp_path / "d.sock"
    store.publish(bundle(rules("allow"), number=1))
    (tmp_path / "root.json").write_bytes(store.root)
    (tmp_path / "sidecar.toml").write_text('[log]\ndurability = "host"\n')
    faults = [
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=9+5",
    ]
    arguments = [
        "--config", str(tmp_path / "sidecar.toml"), "--store", store.url, "--channel", "prod", "--poll", "1h",
        "--root", str(tmp_path / "root.json"), "--state", str(tmp_path / "state"), "--socket", str(address),
        "--host-id", spooled.HOST,
    ]  # fmt: skip
    command = [str(STRACE), *faults, sys.executable, "-m", "agent_sidecar", "run", *arguments]
    answers = []

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address)
            for _ in range(ASKED):
                answers.append(call(address, "POST", "/access/v1/evaluation", json.dumps(REQUEST).encode())["context"])
                time.sleep(0.02)
            status = call(address, "GET", "/status")
        finally:
            process.terminate()
            process.wait(PATIENCE_S)

    log = tmp_path / "state" / "spool"
    found = spooled.records(log)
    public = bytes.fromhex(json.loads((tmp_path / "state" / KEY_FILE).read_bytes())["public"])
    denied = {each["decision_id"] for each in answers if each["reason_code"] == "log_unavailable"}
    allowed = {each["decision_id"] for each in answers if each["allowed"]}
    withheld = {name for each in found if each["type"] == "withheld" for name in each["decision_ids"]}
    logged = [each["answer"]["decision_id"] for each in found if each["type"] == "decision"]
    assert len(denied) + len(allowed) == ASKED
    assert denied
    assert len(allowed) > ASKED / 4
    assert withheld == denied
    assert sorted(logged) == sorted(denied | allowed)
    assert status["log"]["denied"] == len(denied)
    assert spooled.flaws(log, public=public) == []


def _wait_for(address: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(address))
            sock.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if sock.recv(100).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.02)
    raise AssertionError("the sidecar did not start")
