"""The spool: records appended to a chain of segment files by any number of threads and processes.

A record is in its file when `append` returns: it survives the process then and, once `sync` has returned, the machine.
What could not be written leaves no trace, and nothing is ever written after a torn line. Whoever is killed between two
steps leaves a mark, and the next writer begins with `recovery`.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent_sidecar import logs
from agent_sidecar.decision_log import recovery
from agent_sidecar.decision_log.files import (
    DAMAGED,
    OPEN,
    discard_temporaries,
    finished,
    numbers,
    open_path,
    read_ends,
    read_header,
    sealed_path,
    size_of,
    temporary,
    write_all,
    write_anew,
)
from agent_sidecar.decision_log.head import End, OwnHead, SharedHead
from agent_sidecar.decision_log.locking import ProcessLock
from agent_sidecar.decision_log.scribe import MAX_REST_BYTES, Entry, Scribe, Signer, Start, dropped, new_chain
from agent_sidecar.durable import StateError, make_directory, sync_directory
from policy_core.decision_log.lines import MAX_LINE_BYTES, MAX_SEGMENT_BYTES, Seal, SegmentHeader

SEGMENT_BYTES = 8 << 20
"""A segment at least this large is sealed before the next record."""
SEGMENTS_AT_LEAST = 8
"""A spool with less room than this many segments makes them smaller, so that giving one up gives up little."""
TRY_AGAIN_S = 1.0
"""After a recovery has failed, the disk is left alone for this long."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpoolError(StateError):
    """A record cannot be written: the spool is full, or the disk refuses. Nothing of it is in the log."""


class SpoolFullError(SpoolError):
    """There is no room, neither within the limit nor on the disk."""

    default_hint = "see why segments are not shipped, make room on the disk, or raise log.max_bytes"


class Spool:
    """One process's hand on the log of a host. `open` is for the one that owns the state directory, `join` for others.

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
        self.max_bytes = max_bytes
        self.position = 0
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // SEGMENTS_AT_LEAST)
        self._drops_oldest = drops_oldest
        self._syncs = syncs
        self._scribe = Scribe(host=host, signer=signer, clock=clock)
        self._threads = threading.Lock()
        self._syncing = threading.Lock()
        self._file = -1
        self._number = 0
        self._generation = -1
        self._header: SegmentHeader | None = None
        self._hour = ""
        self._unsynced: list[tuple[int, int]] = []
        self._lost: list[int] = []
        self._synced_generation = -1
        self._is_file_suspect = False
        self._fails_until = 0.0
        make_directory(directory)
        try:
            self._processes = ProcessLock(directory / "lock", for_life=is_alone)
        except OSError as error:
            raise StateError(f"{directory}: cannot be locked: {error.strerror}") from error
        self._head: SharedHead | OwnHead = (OwnHead if is_alone else SharedHead)(directory / "head")

    def open(self) -> None:
        """Recover what an earlier process has left; begin a segment under another boot, version or name of the host.

        Raises SpoolError; what needs the spool then may try again.
        """
        with self._exclusive():
            discard_temporaries(self.directory)
            self._head.mark()
            self._recover()
            header = self._header
            if header and not self._scribe.is_of_this_life(header):
                self._roll()
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
                self._append(entries)
            except OSError as error:
                raise _refused(error) from error
            finally:
                self._processes.release()
            return self.position

    def checkpoint(self) -> None:
        """Sign everything up to here, if something is unsigned. Raises SpoolError."""
        with self._exclusive():
            self._catch_up()
            if self._head.read()[3] > self._head.checkpoint_seq:
                self._put_checkpoint()

    def seal(self) -> None:
        """Finish the segment and begin the next one, if it has a record. Raises SpoolError."""
        with self._exclusive():
            self._catch_up()
            if self._has_records():
                self._roll()

    def tend(self) -> None:
        """Do what takes its time, once a second, in the owner of the state directory. Raises SpoolError.

        Seal at the hour, move finished segments to their final name, sync.
        """
        with self._exclusive():
            self._catch_up()
            if self._has_records() and self._scribe.hour > self._hour:
                self._roll()
            sealed = [
                path for path in finished(self.directory, before=self._head.read()[1]) if path.name.endswith(OPEN)
            ]
        with _refusing():
            for path in sealed:
                self._settle(path)
            if sealed:
                sync_directory(self.directory)
        self.sync()
        with self._exclusive():
            self._count_finished()

    def sync(self) -> int:
        """Make what was appended survive the machine; return the `position` up to which that holds.

        Raises SpoolError. No file is trusted once its disk has failed to sync it, which the kernel tells once: what is
        in it goes to a new one, before anything else.
        """
        with self._syncing:
            if self._is_file_suspect:
                with self._exclusive():
                    self._catch_up()
            with self._threads:
                position, generation = self.position, self._generation
                older, self._unsynced = self._unsynced, []
                current = self._file
            try:
                self._save_lost()
                while older:
                    self._sync_older(*older.pop(0))
                if current >= 0:
                    os.fdatasync(current)
                if generation != self._synced_generation:
                    sync_directory(self.directory)
                    self._synced_generation = generation
            except (OSError, StateError) as error:
                self._is_file_suspect = True
                raise SpoolError(f"decision log: cannot be synced: {error}") from error
            finally:
                with self._threads:
                    self._unsynced[:0] = older
            return position

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
            for file in (*(file for _, file in self._unsynced), self._file):
                if file >= 0:
                    os.close(file)
            self._unsynced, self._file = [], -1
            self._processes.close()
            self._head.close()

    # with both locks held

    def _append(self, entries: tuple[Entry, ...]) -> None:
        length = self._end()[2]
        if length >= self._segment_bytes or entries[0][1][:13] > self._hour:
            self._move_on(length)
        while True:
            try:
                self._write(entries)
            except SpoolFullError:
                if not (self._drops_oldest and self._shed_oldest()):
                    raise
            else:
                self.position += len(entries)
                return

    def _write(self, entries: tuple[Entry, ...]) -> None:
        generation, number, length, seq, head = self._head.read()
        shed = self._head.shed if self._drops_oldest else None
        if shed and not shed[4]:
            entries = (dropped(shed, entries[0][1]), *entries)
        content, seq, head = self._scribe.records(entries, seq, head)
        grown = length + len(content)
        if grown + self._head.finished_bytes > self.max_bytes:
            raise SpoolFullError(f"decision log: the spool is full ({self.max_bytes} bytes)")
        self._put(content, length)
        self._head.move(generation, number, grown, seq, head)
        if shed and not shed[4]:
            self._head.shed = (*shed[:4], True)

    def _put(self, content: bytes, length: int) -> None:
        """Write to the end of the open file, or not at all; the mark stays set if that worked. Raises SpoolError."""
        self._head.mark()
        try:
            write_all(self._file, content)
        except OSError as error:
            os.ftruncate(self._file, length)
            self._head.clear()
            if error.errno in FULL:
                raise SpoolFullError(f"decision log: the disk is full: {error.strerror}") from error
            self._is_file_suspect = True
            raise

    def _end(self) -> End:
        """Return the end of the log, with the file open that it is in, after a recovery if need be."""
        end = self._head.read()
        is_known = end[0] == self._generation and not self._head.is_marked and not self._is_file_suspect
        if is_known and os.lseek(self._file, 0, os.SEEK_END) == end[2]:
            return end
        self._catch_up()
        return self._head.read()

    def _catch_up(self) -> None:
        """Follow other processes to the file they write to now; recover if one of them died on the way."""
        if time.monotonic() < self._fails_until:
            raise SpoolError("decision log: the disk has just refused it")
        generation, number, length, _, _ = self._head.read()
        is_marked = self._head.is_marked or not number  # it was never opened: the lock was not to be had
        try:
            if not is_marked and generation != self._generation:
                self._use(number, generation)
            if is_marked or os.lseek(self._file, 0, os.SEEK_END) != length:
                self._recover()
            if self._is_file_suspect:
                self._renew()
        except (OSError, StateError):
            self._fails_until = time.monotonic() + TRY_AGAIN_S
            raise

    def _recover(self) -> None:
        self._head.mark()
        end = recovery.find_end(self.directory)
        if end is None:
            self._begin(1, new_chain())
            return
        reader, number = end.reader, end.number
        if reader.header is None or not (reader.is_sealed or end.path.name.endswith(OPEN)):
            hint = "the disk is failing: the log goes on in another chain"
            logs.warning("decision_log_damaged", segment=end.path.name, hint=hint)
            self._begin(number + 1, new_chain())
            return
        seq, head = reader.last_seq, reader.head
        self._head.checkpoint_seq = reader.signed.seq if reader.signed else reader.header.first_seq - 1
        if reader.is_sealed:
            self._begin(number + 1, self._scribe.start_after(reader.header, seq, head))
            return
        generation = self._head.read()[0] + 1
        self._use(number, generation, reader.header)
        self._head.move(generation, number, reader.length, seq, head)

    def _use(self, number: int, generation: int, header: SegmentHeader | None = None) -> None:
        """Open a file, to append to."""
        path = open_path(self.directory, number)
        if header is None:
            header = read_header(path)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        if self._syncs:  # nothing is found after a crash that follows what is not
            for skipped in numbers(self.directory, OPEN):
                if self._number < skipped < number:
                    self._leave(skipped, os.open(open_path(self.directory, skipped), os.O_RDONLY | os.O_CLOEXEC))
        if self._file >= 0:
            self._leave(self._number, self._file)
        self._number = number
        self._file, self._generation, self._header, self._hour = file, generation, header, header.opened_at[:13]

    def _leave(self, number: int, file: int) -> None:
        if self._syncs:
            self._unsynced.append((number, file))
        else:
            os.close(file)

    def _begin(self, number: int, start: Start) -> None:
        """Write the header of a segment, give it its name, and use it from now on."""
        line, head = self._scribe.beginning(start)
        path = temporary(self.directory, line)
        self._head.mark()
        self._switch_to(path, number, len(line), start.first_seq - 1, head)

    def _switch_to(self, path: Path, number: int, length: int, seq: int, head: bytes) -> None:
        path.rename(open_path(self.directory, number))
        generation = self._head.read()[0] + 1
        self._use(number, generation)
        self._head.move(generation, number, length, seq, head)

    def _has_records(self) -> bool:
        return self._header is not None and self._head.read()[3] >= self._header.first_seq

    def _move_on(self, length: int) -> None:
        """Begin the next segment; on a disk without room for one the present one grows, within its limit."""
        try:
            self._roll()
        except (OSError, SpoolError):
            is_sealed = self._head.is_marked  # or may be: nothing is written after a seal
            if is_sealed or length > MAX_SEGMENT_BYTES - 2 * MAX_LINE_BYTES:
                raise

    def _roll(self) -> None:
        """Seal the segment and begin the next one; one without records is begun anew, so that it has the right hour."""
        header = self._header
        if header is None:
            raise SpoolError("decision log: is not open")
        _, number, length, seq, head = self._head.read()
        if seq < header.first_seq:
            self._begin(number, self._scribe.start_again(header))
            return
        content, seq, head = self._scribe.ending(header, seq, head)
        start = self._scribe.start_after(header, seq, head)
        line, next_head = self._scribe.beginning(start)
        path = temporary(self.directory, line)
        try:
            self._put(content, length)
        except (OSError, SpoolError):
            path.unlink(missing_ok=True)
            raise
        self._head.checkpoint_seq = start.first_seq - 1
        self._head.finished_bytes += length + len(content)
        self._switch_to(path, number + 1, len(line), start.first_seq - 1, next_head)

    def _put_checkpoint(self) -> None:
        generation, number, length, seq, head = self._head.read()
        line, seq, head = self._scribe.checkpoint(seq, head)
        self._put(line, length)
        self._head.move(generation, number, length + len(line), seq, head)
        self._head.checkpoint_seq = seq

    def _renew(self) -> None:
        """Write what the open file has to a new one, which takes its place: its disk has failed it before."""
        self._recover()
        _, number, length, seq, head = self._head.read()
        content = open_path(self.directory, number).read_bytes()
        path = temporary(self.directory, content, durable=True)
        self._head.mark()
        self._switch_to(path, number, length, seq, head)
        self._is_file_suspect = False

    def _shed_oldest(self) -> bool:
        """Give up the oldest finished segment; False if there is none. The next write tells of it first."""
        path = next(iter(finished(self.directory, before=self._head.read()[1])), None)
        if path is None:
            return False
        size = path.stat().st_size
        try:
            header, seal = read_ends(path)
        except StateError as error:  # nobody could tell what goes with it
            logs.warning("decision_log_damaged", reason=error.message, hint="the disk is failing")
            path.rename(path.with_suffix(DAMAGED))
        else:
            self._note_shed(header, seal)
            path.unlink()
        self._head.finished_bytes = max(0, self._head.finished_bytes - size)
        return True

    def _note_shed(self, header: SegmentHeader, seal: Seal) -> None:
        self._head.shed_records += seal.count
        if self._header is None or header.chain != self._header.chain:
            return  # that chain has its end: nothing can be told in it any more
        first, previous, known = header.first_seq, bytes.fromhex(header.previous), self._head.shed
        if known and known[1] == first - 1:  # what told of that range may be among what goes now
            first, previous = known[0], known[2]
        self._head.shed = (first, seal.last_seq, previous, bytes.fromhex(seal.record_hash), False)

    def _settle(self, path: Path) -> None:
        """Give a finished segment its final name, once it is on the disk. Raises SpoolError."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # given up meanwhile
            return
        number = int(path.name.removesuffix(OPEN))
        self._sync_older(number, file)
        with self._exclusive(), contextlib.suppress(FileNotFoundError):
            path.rename(sealed_path(self.directory, number))

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
                    self._lost.pop(0)
                    self._is_file_suspect = True
                    raise SpoolError("decision log: a file of the open segment could not be synced")
                write_anew(self.directory, self._lost[0])
                self._lost.pop(0)

    def _count_finished(self) -> None:
        self._head.finished_bytes = size_of(finished(self.directory, before=self._head.read()[1]))

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold both locks. Raises SpoolError for whatever the disk refuses within."""
        with self._threads:
            self._lock()
            try:
                with _refusing():
                    yield
            finally:
                self._processes.release()

    def _lock(self) -> None:
        try:
            self._processes.acquire()
        except TimeoutError as error:
            raise SpoolError(f"decision log: cannot be locked: {error.strerror}") from error


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refused(error) from error


def _refused(error: OSError) -> SpoolError:
    return SpoolError(f"decision log: cannot be written: {error.strerror}")
