"""The lock of all processes that write to one spool: waited for, but not for ever.

Whoever holds it may have been stopped, or hang on its disk. Decisions are denied then, and the event loop of each
process goes on, so that the primary finds out which one does not answer.
"""

import fcntl
import os
import time
from pathlib import Path

PATIENCE_S = 2.0
HELD_UP_S = 0.01
"""How long it is waited for again, until it was free once: requests come faster than anybody is patient."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.000_02, 0.001


class ProcessLock:
    """A lock that the kernel takes back from whoever is killed; `for_life` keeps it from the first time on."""

    def __init__(self, path: Path, *, for_life: bool) -> None:
        """Open its file, made if there is none. Raises OSError."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._for_life = for_life
        self._is_kept = False
        self._patience_s = PATIENCE_S

    def acquire(self) -> None:
        """Take the lock. Raises TimeoutError."""
        if self._is_kept:
            return
        if not self._is_taken():
            self._wait()
        self._is_kept = self._for_life

    def release(self) -> None:
        """Give it back, unless it is for life."""
        if not self._is_kept:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it back."""
        os.close(self._file)

    def _wait(self) -> None:
        end, pause_s = time.monotonic() + self._patience_s, _FIRST_PAUSE_S
        while not self._is_taken():
            if time.monotonic() >= end:
                self._patience_s = HELD_UP_S
                raise TimeoutError(0, "another process of this sidecar holds it and does not go on")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._patience_s = PATIENCE_S

    def _is_taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
