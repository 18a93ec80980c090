"""Rehearsing a bundle: whether it can be loaded is found out in a child process, which dies of it if not.

What the child says of the bytes holds for good. What keeps it from saying anything (a crash, the kernel that ends it
for lack of memory, its own bounds) may be over in a while: that is no verdict on the bytes, and is asked again.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable

import msgspec

from agent_sidecar import logs
from agent_sidecar.children import child_command, child_environment
from agent_sidecar.rehearsal.report import NO_MEMORY, Report
from agent_sidecar.rehearsal.room import MAX_CPU_S, room_bytes
from policy_core.errors import InvalidError

PATIENCE_S = 300.0
"""How long one may take on a machine that is busy with other things; its processor time has a bound of its own."""
NICER_BY, STEPPED_BACK_S = 5, 20.0
"""A child steps back behind requests, but not for ever: where it is given too little, another one competes with them.
Whoever keeps all processors busy could otherwise keep a new policy from taking effect."""
MAX_SAID_BYTES = 64 << 10


class RefusedError(InvalidError):
    """The bundle was loaded as far as it goes, and is refused: these bytes always will be, by this version."""


class RehearsalError(InvalidError):
    """The child died: nobody knows whether the bundle can be loaded. The policy in force stays."""

    default_hint = "the policy in force stays, and this one is tried again within ten minutes"


class Rehearsal:
    """Rehearses bundles, one at a time; `room` returns how many bytes one may take, None where that is not known."""

    def __init__(
        self,
        *,
        room: Callable[[], int | None] = room_bytes,
        max_cpu_s: int = MAX_CPU_S,
        patience_s: float = PATIENCE_S,
        stepped_back_s: float = STEPPED_BACK_S,
    ) -> None:
        self.last = Report()
        self._room = room
        self._max_cpu_s = max_cpu_s
        self._patience_s = patience_s
        self._stepped_back_s = min(stepped_back_s, patience_s)
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __call__(self, blob: bytes) -> None:
        """Return if the bundle can be loaded. Raises RefusedError if not, RehearsalError if that cannot be told."""
        room = self._room()
        said = self._said(blob, room, nicer_by=NICER_BY, patience_s=self._stepped_back_s)
        if not said and (left_s := self._patience_s - self._stepped_back_s):
            said = self._said(blob, room, nicer_by=0, patience_s=left_s)
        if not said:
            raise RehearsalError(f"rehearsal: the bundle was not loaded within {self._patience_s:.0f} s")
        self.last = report = _decoded(said)
        if report.refused:
            raise RefusedError(report.refused, hint=report.hint)
        logs.info("rehearsed", seconds=round(report.seconds, 3), peak_bytes=report.peak_bytes)

    def close(self) -> None:
        """End the child that is at work, if there is one, and start no more."""
        with self._lock:
            self._is_closed = True
            if child := self._child:
                child.kill()

    def _said(self, blob: bytes, room: int | None, *, nicer_by: int, patience_s: float) -> bytes:
        """Return what a child says, nothing if that takes too long. Raises RehearsalError if it ends otherwise."""
        with self._start(room, nicer_by) as child:
            try:
                said, complained = child.communicate(blob, timeout=patience_s)
            except subprocess.TimeoutExpired:
                return b""
            finally:
                child.kill()
                self._child = None
        if child.returncode:
            raise RehearsalError(f"rehearsal: {_ending(child.returncode, complained, room, self._max_cpu_s)}")
        return said or b"nothing"

    def _start(self, room: int | None, nicer_by: int) -> "subprocess.Popen[bytes]":
        """Start a child that knows nothing of this process."""
        limits = (str(0 if room is None else max(room, 1)), str(self._max_cpu_s), str(nicer_by), str(os.getpid()))
        with self._lock:
            if self._is_closed:
                raise RehearsalError("rehearsal: this sidecar is ending")
            try:
                self._child = subprocess.Popen(
                    child_command("agent_sidecar.rehearsal", *limits),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    env=child_environment(), cwd="/",
                )  # fmt: skip
            except OSError as error:
                raise RehearsalError(f"rehearsal: cannot be started: {error.strerror}") from error
            return self._child


def _decoded(said: bytes) -> Report:
    try:
        return msgspec.json.decode(said[:MAX_SAID_BYTES], type=Report)
    except ValueError as error:
        raise RehearsalError(f"rehearsal: unreadable report: {error}") from error


def _ending(code: int, complained: bytes, room: int | None, max_cpu_s: int) -> str:
    """Return why a child ended without a word."""
    if code == NO_MEMORY:
        return f"the bundle takes more memory than there is (more than {(room or 0) >> 20} MiB)"
    if code == -signal.SIGXCPU:
        return f"loading the bundle takes more than {max_cpu_s} s of a processor"
    if code < 0:
        return f"loading the bundle ended its process ({signal.Signals(-code).name})"
    lines = complained.decode("utf-8", "replace").strip().splitlines()
    return f"loading the bundle failed ({lines[-1][:200] if lines else f'exit code {code}'})"
