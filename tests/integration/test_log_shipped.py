"""A real sidecar logs, ships and enrols; an auditor proves it all from the stores alone."""

import json
import socket
from pathlib import Path

import pytest
from running_host import running_host

from builder.cli.main import main

REQUEST = {
    "subject": {"type": "agent", "id": "agent-1"}, "action": {"name": "service.restart"},
    "resource": {"type": "service", "id": "web"},
}  # fmt: skip


def ask(path: Path, times: int) -> None:
    body = json.dumps(REQUEST).encode()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        for _ in range(times):
            head = b"POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert sock.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_host_decides_and_enforces_is_proven_from_the_stores(
    workers: int, s3_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs, fleet = f"{s3_url}/logs", f"{s3_url}/fleet"
    configuration = (
        f'host_id = "web-1"\nworkers = {workers}\nreports = "{fleet}"\n'
        f'[log]\nship = "{logs}"\nship_every = "1s"\ndurability = "host"\n'
    )
    with running_host(configuration=configuration) as host:
        ask(host.socket, 20)
    capsys.readouterr()

    assert main(["logs", "verify", logs, "--keys", fleet, "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["hosts"]
    (chain,) = found["chains"]
    assert chain["records"]["decision"] == 20
    assert (chain["records"]["activated"], chain["records"]["stopped"]) == (1, 1)
    assert chain["signed_seq"] == chain["last_seq"]

    assert main(["logs", "intervals", logs, "--keys", fleet, "--format", "json"]) == 0
    (interval,) = json.loads(capsys.readouterr().out)["intervals"]
    assert (interval["channel"], interval["release"], interval["began"], interval["ended"]) == (
        "prod", 1, "activated", "stopped",
    )  # fmt: skip

    assert main(["logs", "show", logs, "--type", "decision", "--format", "json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {json.loads(line)["record"]["input"]["subject"]["id"] for line in lines} == {"agent-1"}


def test_a_host_whose_store_of_logs_is_gone_answers_and_says_so_once(aws: str) -> None:
    configuration = 'host_id = "web-1"\n[log]\nship = "s3://no-such-bucket-of-ours/logs"\nship_every = "1s"\n'
    with running_host(configuration=configuration) as host:
        ask(host.socket, 3)

    failed = [line for line in map(json.loads, host.log) if line["event"] == "log_shipping_failed"]
    assert len(failed) == 1
    assert "NoSuchBucket" in failed[0]["reason"]
