"""Making what a spool wrote survive the machine: the open file, and before it every one that was left for a later one.

No file is trusted once its disk has failed to sync it, which the kernel tells once: what is in it goes to a new one.
A finished segment is written anew here, the open one by the writer, and until that has worked no sync succeeds.
"""

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock

from agent_sidecar import logs
from agent_sidecar.decision_log.errors import SpoolError, refusing
from agent_sidecar.decision_log.files import OPEN, sealed_path, write_anew
from agent_sidecar.decision_log.head import Head
from agent_sidecar.decision_log.writing import Left, Writer
from agent_sidecar.durable import StateError, sync_directory


class Syncing:
    """Syncs what a writer has written. `threads` is the lock of its threads, `exclusive` takes both locks of the spool.

    Neither is held while the disk is waited for, but for what is written anew.
    """

    def __init__(
        self,
        directory: Path,
        head: Head,
        writer: Writer,
        *,
        threads: Lock,
        exclusive: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._directory = directory
        self._head = head
        self._writer = writer
        self._threads = threads
        self._exclusive = exclusive
        self._one_at_a_time = Lock()
        self._older: list[Left] = []  # taken from the writer, and not synced yet
        self._lost: list[int] = []  # finished segments that the disk has failed to sync
        self._failed: list[int] = []  # segments that were open when it failed
        self._synced_generation = -1

    def sync(self) -> int:
        """Sync what was written so far; return the writer's `position` up to which that holds. Raises SpoolError."""
        writer = self._writer
        with self._one_at_a_time:
            if writer.is_suspect or self._failed:
                with self._exclusive():
                    writer.catch_up()
                    self._lost += [number for number in self._failed if number != writer.number]
                    self._failed.clear()
            with self._threads:
                position, generation = writer.position, writer.generation
                number, current = writer.number, writer.file
                older, self._older = self._older + writer.take_left(), []
            try:
                self._save_lost()
                while older:
                    self._sync_older(*older.pop(0))
                if current >= 0:
                    os.fdatasync(current)
                if generation != self._synced_generation:
                    sync_directory(self._directory)
                    self._synced_generation = generation
            except (OSError, StateError) as error:
                self._distrust(number)
                raise SpoolError(f"decision log: cannot be synced: {error}") from error
            finally:
                self._older = older
            return position

    def settle(self, paths: list[Path]) -> None:
        """Give finished segments their final names, each once it is on the disk. Raises SpoolError."""
        with refusing():
            for path in paths:
                self._settle(path)
            if paths:
                sync_directory(self._directory)

    def close(self) -> None:
        """Let go of the files; the lock of the threads is held."""
        for _, file in self._older:
            os.close(file)
        self._older = []

    def _settle(self, path: Path) -> None:
        """Give a finished segment its final name, once it is on the disk. Raises SpoolError."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # given up meanwhile
            return
        number = int(path.name.removesuffix(OPEN))
        self._sync_older(number, file)
        with self._exclusive(), contextlib.suppress(FileNotFoundError):
            path.rename(sealed_path(self._directory, number))

    def _sync_older(self, number: int, file: int) -> None:
        """Sync a file that is not written to any more, and close it. Raises SpoolError."""
        try:
            os.fdatasync(file)
        except OSError as error:
            logs.warning("decision_log_unsynced", segment=number, reason=str(error), hint="the disk is failing")
            self._lost.append(number)
        finally:
            os.close(file)
        self._save_lost()

    def _save_lost(self) -> None:
        """Write finished segments anew that a disk has failed to sync, until that has worked. Raises SpoolError."""
        while self._lost:
            with self._exclusive():
                if not self._lost:  # another thread came first
                    return
                if self._lost[0] == self._head.read()[1]:  # it is written to, in whatever file has its name now
                    self._distrust(self._lost.pop(0))
                    raise SpoolError("decision log: a file of the open segment could not be synced")
                write_anew(self._directory, self._lost[0])
                self._lost.pop(0)
                self._synced_generation = -1  # its name has to be on the disk, too

    def _distrust(self, number: int) -> None:
        """Have the open segment written anew, by the writer; here if it is finished before the writer comes to it."""
        self._failed.append(number)
        self._writer.distrust()
