"""A peer as handlers see it, without a connection."""

from dataclasses import dataclass

from agent_sidecar.server.caller import Caller, CallerKind

UID_7 = Caller(CallerKind.UNIX, "uid 7", 7)


@dataclass
class Asking:
    """Stands in for a `Connection` whose request has just arrived."""

    method: bytes = b"POST"
    target: bytes = b"/"
    kept_headers: tuple[tuple[bytes, bytes], ...] = ()
    request_id: bytes = b""
    caller: Caller = UID_7
