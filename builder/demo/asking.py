"""What the demo's host is asked, and how: HTTP over the sidecar's Unix socket."""

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.demo.stage import DemoError

TIMEOUT_S = 5.0
AUTHZEN, JOB = "/access/v1/evaluation", "/api/v1/policy/evaluate"


@dataclass(frozen=True, slots=True)
class Question:
    """A request, what it is in words, and the decision the template's policies give it."""

    words: str
    path: str
    body: dict[str, Any]
    expected: str


def _evaluation(words: str, expected: str, subject: dict[str, Any], action: str, resource: dict[str, Any]) -> Question:
    return Question(words, AUTHZEN, {"subject": subject, "action": {"name": action}, "resource": resource}, expected)


def _job(words: str, expected: str, topic: str, *risk_tags: str) -> Question:
    actor = {"actor_type": "registered_agent", "actor_id": "deploy-bot"}
    return Question(
        words, JOB, {"tenant_id": "shop", "job": {"topic": topic, "risk_tags": risk_tags} | actor}, expected
    )


ADA = {"type": "user", "id": "ada", "properties": {"roles": ["sre"]}}
LINUS = {"type": "user", "id": "linus", "properties": {"roles": ["developer"]}}
CHECKOUT_BOT = {"type": "registered_agent", "id": "checkout-bot", "properties": {"team": "checkout"}}
STRANGER = {"type": "workload", "id": "batch-17"}
TICKET = {"type": "ticket", "id": "T-1"}
WEB = {"type": "service", "id": "web", "properties": {"owner": "checkout", "instances": ["web-1"]}}
FLEET = {"type": "service", "id": "web", "properties": {"owner": "checkout", "instances": ["web-1", "web-2"]}}
PAYMENTS = {"type": "service", "id": "payments-api", "properties": {"owner": "checkout", "instances": ["pay-1"]}}
BUCKET = {"type": "bucket", "id": "invoices"}

DEVELOPER_RESTARTS = _evaluation("developer restarts a service", "deny", LINUS, "service.restart", WEB)
QUESTIONS = (
    _evaluation("agent reads a ticket", "allow", CHECKOUT_BOT, "tickets.read", TICKET),
    _evaluation("unknown workload reads a ticket", "deny", STRANGER, "tickets.read", TICKET),
    _evaluation("person on call restarts a service", "allow", ADA, "service.restart", WEB),
    _evaluation("the same, on two instances", "allow_with_constraints", ADA, "service.restart", FLEET),
    DEVELOPER_RESTARTS,
    _evaluation("agent restarts a critical service", "require_approval", CHECKOUT_BOT, "service.restart", PAYMENTS),
    _evaluation("agent deletes a bucket", "deny", CHECKOUT_BOT, "bucket.delete", BUCKET),
    _job("job writes to production", "require_approval", "job.mcp-bridge.write.config", "prod", "write"),
    _job("job writes to staging", "allow", "job.mcp-bridge.write.config", "staging", "write"),
    _job("job runs code of medium risk", "allow_with_constraints", "job.agent.exec.python", "medium"),
)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("sidecar", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def ask(path: Path, question: Question) -> dict[str, Any]:
    """Return the complete answer of the sidecar behind the socket, its decision in lower case. Raises DemoError."""
    body = _exchange(path, "POST", question.path, json.dumps(question.body))
    answer: dict[str, Any] = body["context"] if question.path == AUTHZEN else body
    return answer | {"decision": answer["decision"].lower()}


def status(path: Path) -> dict[str, Any]:
    """Return the status document of the sidecar behind the socket. Raises DemoError."""
    return _exchange(path, "GET", "/status")


def _exchange(path: Path, method: str, target: str, body: str | None = None) -> dict[str, Any]:
    connection = _UnixConnection(path)
    try:
        connection.request(method, target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content: dict[str, Any] = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DemoError(f"{path}: the sidecar gave no answer to {target} ({error})") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise DemoError(f"{path}: the sidecar answered {response.status} to {target}: {content}")
    return content
