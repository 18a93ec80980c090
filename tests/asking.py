"""What decisions need beside a request, without a connection or a policy: a peer, and a policy that fails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent_sidecar.decision_log.batch import Batch
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

    def hold(self, batch: Batch, instead: Callable[[], Any]) -> None:
        """Wait for nothing: what is asked here has no reply that could leave."""


class Failing:
    """A policy with a bug."""

    recording = None
    cache_hits = 0
    deny_after = 0.0  # nothing lasts

    def answer(self, *_: object, **__: object) -> Any:
        raise ZeroDivisionError
