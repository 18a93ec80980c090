"""Ships spans to a collector from a thread of its own: bounded, and never in the way of a decision.

Spans are a help, the decision log is the record: what finds the queue full, or the collector away, is dropped and
counted.
"""

import http.client
import threading
import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from agent_sidecar import logs
from agent_sidecar.configuration import Configuration
from agent_sidecar.traces.spans import Span, encode_spans
from agent_sidecar.tracing import trace_of
from policy_core.decision import Answer

MAX_QUEUED = 4096
MAX_BATCH = 512
INTERVAL_S = 1.0
TIMEOUT_S = 5.0
MAX_REPLY_BYTES = 1 << 20


def new_exporter(configuration: Configuration) -> "SpanExporter | None":
    """Return the exporter a configuration asks for, None if it names no collector."""
    endpoint = configuration.traces.endpoint
    if not endpoint:
        return None
    return SpanExporter(endpoint, host_id=configuration.host_id, channel=configuration.channel)


class SpanExporter:
    """Takes spans from any thread from `start` to `stop`."""

    def __init__(self, endpoint: str, *, host_id: str, channel: str) -> None:
        self.exported = 0
        self._turned_away = 0
        self._lost = 0
        self._url = urlsplit(endpoint)
        self._host_id, self._channel = host_id, channel
        self._queue: deque[Span] = deque()
        self._stopping = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    @property
    def dropped(self) -> int:
        """Return how many spans no collector got."""
        return self._turned_away + self._lost

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """Export what is left, for at most `timeout_s` seconds."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def add(self, span: Span) -> None:
        """Take a span, or drop it if too many wait. Costs an append: no lock, no wake-up."""
        if len(self._queue) < MAX_QUEUED:
            self._queue.append(span)
        else:
            self._turned_away += 1

    def decided(self, headers: Sequence[tuple[bytes, bytes]], answer: Answer, protocol: str, *, took_us: int) -> None:
        """Take the span of a decision just made, if its request belongs to a trace that the caller records."""
        trace = trace_of(headers)
        if trace and trace.is_sampled:
            self.add(Span(trace, answer, protocol, time.time_ns(), took_us * 1000))

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            self._export_all()
        self._export_all()
        self._lost += len(self._queue)

    def _export_all(self) -> None:
        """Export what waits now, one batch after the other; the first that fails ends it for this time."""
        for _ in range(-(-len(self._queue) // MAX_BATCH)):
            batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            try:
                self._post(encode_spans(batch, host_id=self._host_id, channel=self._channel))
            except Exception as error:  # noqa: BLE001 - thread boundary: spans are dropped, the thread goes on
                self._lost += len(batch)
                if not self._is_away:
                    logs.warning("traces_failed", reason=str(error) or type(error).__name__)
                self._is_away = True
                return
            self.exported += len(batch)
            if self._is_away:
                logs.info("traces_resumed")
            self._is_away = False

    def _post(self, body: bytes) -> None:
        """Send one export. Raises OSError, HTTPException, ValueError."""
        https = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", self._url.path or "/", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read(MAX_REPLY_BYTES)
            if response.status != http.client.OK:
                raise ValueError(f"status {response.status} (expected 200)")
        finally:
            connection.close()
