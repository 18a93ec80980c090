"""Calls a running sidecar over its Unix sockets: what the commands, and no daemon, use."""

import http.client
import socket
from pathlib import Path
from typing import Any

import msgspec

from policy_core.errors import ConflictError, KnownError, RemoteError, UsageError
from policy_core.request import RequestError

ADMIN_SOCKET = "admin.sock"
"""Name of the admin socket in the state directory; here, where little else is loaded, as probes ask it often."""
TIMEOUT_S = 70.0
MAX_REPLY_BYTES = 16 << 20
_KINDS: dict[int, type[KnownError]] = {400: UsageError, 403: UsageError, 409: ConflictError, 413: UsageError}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, target: str, body: bytes | None = None) -> Any:
    """Return the decoded JSON reply of the sidecar behind a socket.

    Raises RemoteError if none answers or it cannot, and what its reply says otherwise: UsageError, ConflictError.
    """
    connection = _UnixConnection(path)
    try:
        connection.request(method, target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        status, content = response.status, response.read(MAX_REPLY_BYTES)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise RemoteError(f"{path}: no sidecar answers there", hint="start it with writ-sidecar run") from error
    except PermissionError as error:
        raise UsageError(f"{path}: permission denied", hint="use the account the sidecar runs under") from error
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(f"{path}: the sidecar broke off: {error}") from error
    finally:
        connection.close()
    try:
        reply = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"{path}: not a sidecar: {error}") from error
    if status != 200:
        raise _error_of(path, status, reply)
    if not isinstance(reply, dict | list):
        raise _no_sidecar(path)
    return reply


def decide(path: Path, body: bytes) -> dict[str, Any]:
    """Return the answer of the sidecar behind a decision socket to an encoded request. Raises as `call`."""
    reply = call(path, "POST", "/access/v1/evaluation", body)
    answer = reply.get("context") if isinstance(reply, dict) else None
    if not isinstance(answer, dict) or not isinstance(answer.get("decision"), str):
        raise _no_sidecar(path)
    return answer


def _no_sidecar(path: Path) -> RemoteError:
    return RemoteError(f"{path}: no sidecar: its reply is no answer", hint="give the decision socket of a sidecar")


def _error_of(path: Path, status: int, reply: Any) -> KnownError:
    kind = _KINDS.get(status, RemoteError)
    if status == 404:
        return RemoteError(f"{path}: another socket than this command needs", hint="decide asks the decision socket")
    if isinstance(reply, str):
        return RequestError(reply) if status == 400 else kind(reply)
    found = reply.get("error") if isinstance(reply, dict) else None
    if not isinstance(found, dict):
        return kind(f"{path}: status {status}")
    return kind(str(found.get("message")), hint=str(found.get("hint", "")))
