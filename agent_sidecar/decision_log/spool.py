"""The spool: records appended to a chain of segment files by any number of threads and processes.

A record is in its file when `append` returns: it survives the process then and, once `sync` has returned, the machine.
Locks are taken in this order: one sync at a time, the threads of this process, the processes of this host.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from agent_sidecar.decision_log.errors import SpoolError, refused, refusing
from agent_sidecar.decision_log.files import OPEN, discard_temporaries, finished, size_of
from agent_sidecar.decision_log.head import Head, OwnHead, SharedHead
from agent_sidecar.decision_log.locking import ProcessLock
from agent_sidecar.decision_log.scribe import MAX_REST_BYTES, Entry, Scribe, Signer
from agent_sidecar.decision_log.syncing import Syncing
from agent_sidecar.decision_log.writing import Writer
from agent_sidecar.durable import StateError, make_directory


class Spool:
    """One process's hand on the log of a host. `open` is for the one that owns the state directory, before all others.

    `max_bytes` bounds what all segments together take; beyond it `drops_oldest` gives up finished ones, and otherwise
    nothing is appended. `is_alone` if no other process ever joins, which saves the locking; one that never calls `tend`
    or `sync` says so with `syncs`. Locks are not inherited: a forked process makes a spool of its own.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str,
        signer: Signer,
        clock: Callable[[], float],
        max_bytes: int,
        drops_oldest: bool = False,
        is_alone: bool = False,
        syncs: bool = True,
    ) -> None:
        self.directory = directory
        self._threads = threading.Lock()
        make_directory(directory)
        try:
            self._processes = ProcessLock(directory / "lock", for_life=is_alone)
        except OSError as error:
            raise StateError(f"{directory}: cannot be locked: {error.strerror}") from error
        self._head: Head = (OwnHead if is_alone else SharedHead)(directory / "head")
        scribe = Scribe(host=host, signer=signer, clock=clock)
        self._writer = Writer(
            directory, self._head, scribe, max_bytes=max_bytes, drops_oldest=drops_oldest, leaves=syncs
        )
        self._syncing = Syncing(directory, self._head, self._writer, threads=self._threads, exclusive=self._exclusive)

    def open(self) -> None:
        """Recover what an earlier process has left; begin a segment under another boot, version or name of the host.

        Raises SpoolError; what needs the spool then may try again.
        """
        with self._exclusive():
            discard_temporaries(self.directory)
            self._writer.open()
            self._count_finished()

    def append(self, *entries: Entry) -> int:
        """Write records, in one go, and return `position`: how many this process has written by now.

        Raises SpoolError, and then none is written.
        """
        for _, _, rest in entries:
            if len(rest) > MAX_REST_BYTES:
                raise SpoolError(f"decision log: a record is too large (expected at most {MAX_REST_BYTES} bytes)")
        with self._threads:
            self._lock()
            try:  # as `_exclusive`, which takes longer
                return self._writer.append(entries)
            except OSError as error:
                raise refused(error) from error
            finally:
                self._processes.release()

    def checkpoint(self) -> None:
        """Sign everything up to here, if something is unsigned. Raises SpoolError."""
        with self._exclusive():
            self._writer.catch_up()
            self._writer.checkpoint()

    def seal(self) -> None:
        """Finish the segment and begin the next one, if it has a record. Raises SpoolError."""
        with self._exclusive():
            self._writer.catch_up()
            if self._writer.has_records:
                self._writer.roll()

    def tend(self) -> None:
        """Do what takes its time, once a second, in the owner of the state directory. Raises SpoolError.

        Seal at the hour, move finished segments to their final name, sync.
        """
        with self._exclusive():
            self._writer.catch_up()
            if self._writer.has_records and self._writer.is_of_past_hour:
                self._writer.roll()
            sealed = [path for path in self._finished() if path.name.endswith(OPEN)]
        self._syncing.settle(sealed)
        self._syncing.sync()
        with self._exclusive():
            self._count_finished()

    def sync(self) -> int:
        """Make what was appended survive the machine; return the `position` up to which that holds.

        Raises SpoolError.
        """
        return self._syncing.sync()

    @property
    def position(self) -> int:
        """Return how many records this process has written."""
        return self._writer.position

    @property
    def used_bytes(self) -> int:
        """Return how much of the disk all segments take."""
        return self._head.finished_bytes + self._head.read()[2]

    @property
    def last_seq(self) -> int:
        """Return the number of the newest record."""
        return self._head.read()[3]

    @property
    def shed_records(self) -> int:
        """Return how many records were given up in all, to make room."""
        return self._head.shed_records

    def close(self) -> None:
        """Let go of the files; what is in them stays as it is."""
        with self._threads:
            self._syncing.close()
            self._writer.close()
            self._processes.close()
            self._head.close()

    def _finished(self) -> list[Path]:
        return finished(self.directory, before=self._head.read()[1])

    def _count_finished(self) -> None:
        self._head.finished_bytes = size_of(self._finished())

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold both locks. Raises SpoolError for whatever the disk refuses within."""
        with self._threads:
            self._lock()
            try:
                with refusing():
                    yield
            finally:
                self._processes.release()

    def _lock(self) -> None:
        try:
            self._processes.acquire()
        except TimeoutError as error:
            raise SpoolError(f"decision log: cannot be locked: {error.strerror}") from error
