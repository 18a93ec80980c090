"""The end of a log, where one process of its host writes: appending, going on to the next segment, recovering.

All of it is for who holds both locks of the spool. What could not be written leaves no trace, and nothing is ever
written after a torn line. Whoever is killed between two steps leaves a mark, and the next one begins with `recovery`.
"""

import errno
import os
import time
from operator import itemgetter
from pathlib import Path

from agent_sidecar import logs
from agent_sidecar.decision_log import recovery
from agent_sidecar.decision_log.errors import SpoolError, SpoolFullError
from agent_sidecar.decision_log.files import OPEN, numbers, open_path, read_header, temporary, write_all
from agent_sidecar.decision_log.head import End, Head
from agent_sidecar.decision_log.scribe import Entry, Scribe, Start, dropped, new_chain
from agent_sidecar.decision_log.shedding import note_told, shed_oldest, untold
from agent_sidecar.durable import StateError
from policy_core.decision_log.lines import MAX_LINE_BYTES, MAX_SEGMENT_BYTES, SegmentHeader

SEGMENT_BYTES = 8 << 20
"""A segment at least this large is sealed before the next record."""
SEGMENTS_AT_LEAST = 8
"""A spool with less room than this many segments makes them smaller, so that giving one up gives up little."""
TRY_AGAIN_S = 1.0
"""After a recovery has failed, the disk is left alone for this long."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TIME = itemgetter(1)
"""When a record is from, as logs spell it."""

Left = tuple[int, int]
"""A segment that is not written to any more, and a descriptor of its file, which nobody has synced."""


class Writer:
    """Writes to segment `number`, in the file that is `file`; `position` is how many records it has written.

    `generation` grows with each file that becomes the open one. A writer with `leaves` keeps the files it has left, or
    skipped, for who syncs them: nothing is found after a crash that follows what is not. OSError is for the caller.
    """

    def __init__(
        self, directory: Path, head: Head, scribe: Scribe, *, max_bytes: int, drops_oldest: bool, leaves: bool
    ) -> None:
        self.position = 0
        self.generation = -1
        self.number = 0
        self.file = -1
        self.is_suspect = False
        self._directory = directory
        self._head = head
        self._scribe = scribe
        self._max_bytes = max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // SEGMENTS_AT_LEAST)
        self._drops_oldest = drops_oldest
        self._leaves = leaves
        self._left: list[Left] = []
        self._header: SegmentHeader | None = None
        self._hour = ""
        self._refused_from: int | None = None
        self._fails_until = 0.0

    def open(self) -> None:
        """Recover what an earlier process has left; begin a segment under another boot, version or name of the host."""
        self._recover()
        if self._header and not self._scribe.is_of_this_life(self._header):
            self.roll()

    def append(self, entries: tuple[Entry, ...]) -> int:
        """Write records, all or none, and return `position`. Raises SpoolError."""
        end = self._end()
        if end[2] >= self._segment_bytes or max(map(_TIME, entries))[:13] > self._hour:
            self._move_on(end[2])
            end = self._head.read()
        while True:
            try:
                self._write(entries, end)
            except SpoolFullError:
                chain = self._header.chain if self._header else None
                if not (self._drops_oldest and shed_oldest(self._directory, self._head, chain=chain)):
                    raise
            else:
                self.position += len(entries)
                return self.position

    def checkpoint(self) -> None:
        """Sign everything up to here, if something is unsigned. Raises SpoolError."""
        generation, number, length, seq, head = self._head.read()
        if seq <= self._head.checkpoint_seq:
            return
        line, seq, head = self._scribe.checkpoint(seq, head)
        self._put(line, length)
        self._head.move(generation, number, length + len(line), seq, head)
        self._head.checkpoint_seq = seq

    @property
    def has_records(self) -> bool:
        """Tell whether the segment has a record."""
        return self._header is not None and self._head.read()[3] >= self._header.first_seq

    @property
    def is_of_past_hour(self) -> bool:
        """Tell whether the segment was begun in an hour that is over."""
        return self._scribe.hour > self._hour

    def roll(self) -> None:
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
        path = temporary(self._directory, line)
        try:
            self._put(content, length)
        except (OSError, SpoolError):
            path.unlink(missing_ok=True)
            raise
        self._head.checkpoint_seq = start.first_seq - 1
        self._head.finished_bytes += length + len(content)
        self._switch_to(path, number + 1, len(line), start.first_seq - 1, next_head)

    def catch_up(self) -> None:
        """Follow other processes to the file they write to now; recover if one of them died on the way."""
        if time.monotonic() < self._fails_until:
            raise SpoolError("decision log: the disk has just refused it")
        generation, number, length, _, _ = self._head.read()
        is_marked = self._head.is_marked or not number  # it was never opened: the lock was not to be had
        try:
            if not is_marked and generation != self.generation:
                self._use(number, generation)
            if is_marked or os.lseek(self.file, 0, os.SEEK_END) != length:
                self._recover()
            if self.is_suspect:
                self._renew()
        except (OSError, StateError):
            self._fails_until = time.monotonic() + TRY_AGAIN_S
            raise

    def distrust(self) -> None:
        """Say that the disk has failed the open file: it is written anew before anything else, by `catch_up`."""
        self.is_suspect = True

    def take_left(self) -> list[Left]:
        """Hand over the files that were left, oldest first; whoever takes them closes them."""
        left, self._left = self._left, []
        return left

    def close(self) -> None:
        """Let go of the files."""
        for file in (*(file for _, file in self._left), self.file):
            if file >= 0:
                os.close(file)
        self._left, self.file = [], -1

    def _end(self) -> End:
        """Return the end of the log, with the file open that it is in, after a recovery if need be."""
        end = self._head.read()
        is_known = end[0] == self.generation and not self._head.is_marked and not self.is_suspect
        if is_known and os.lseek(self.file, 0, os.SEEK_END) == end[2]:
            return end
        self.catch_up()
        return self._head.read()

    def _write(self, entries: tuple[Entry, ...], end: End) -> None:
        generation, number, length, seq, head = end
        shed = untold(self._head) if self._drops_oldest else None
        if shed:
            entries = (dropped(shed, entries[0][1]), *entries)
        content, seq, head = self._scribe.records(entries, seq, head)
        grown = length + len(content)
        if grown + self._head.finished_bytes > self._max_bytes:
            raise SpoolFullError(f"decision log: the spool is full ({self._max_bytes} bytes)")
        self._put(content, length)
        self._head.move(generation, number, grown, seq, head)
        if shed:
            note_told(self._head, shed)

    def _put(self, content: bytes, length: int) -> None:
        """Write to the end of the open file, or not at all; the mark stays set if that worked. Raises SpoolError."""
        self._head.mark()
        try:
            write_all(self.file, content)
        except OSError as error:
            self._refused_from = length
            self._cut_refused()
            self._head.clear()
            if error.errno in FULL:
                raise SpoolFullError(f"decision log: the disk is full: {error.strerror}") from error
            self.distrust()
            raise

    def _cut_refused(self) -> None:
        """Cut what was refused: whole lines of it would be found as records, and were told of as denied."""
        if self._refused_from is not None and self._head.read()[0] == self.generation:  # nobody has recovered since
            os.ftruncate(self.file, self._refused_from)
        self._refused_from = None

    def _move_on(self, length: int) -> None:
        """Begin the next segment; on a disk without room for one the present one grows, within its limit."""
        try:
            self.roll()
        except (OSError, SpoolError):
            is_sealed = self._head.is_marked  # or may be: nothing is written after a seal
            if is_sealed or length > MAX_SEGMENT_BYTES - 2 * MAX_LINE_BYTES:
                raise

    def _recover(self) -> None:
        self._head.mark()
        self._cut_refused()
        end = recovery.find_end(self._directory)
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

    def _renew(self) -> None:
        """Write what the open file has to a new one, which takes its place: its disk has failed it before."""
        self._recover()
        _, number, length, seq, head = self._head.read()
        content = open_path(self._directory, number).read_bytes()
        path = temporary(self._directory, content, durable=True)
        self._head.mark()
        self._switch_to(path, number, length, seq, head)
        self.is_suspect = False

    def _begin(self, number: int, start: Start) -> None:
        """Write the header of a segment, give it its name, and use it from now on."""
        line, head = self._scribe.beginning(start)
        path = temporary(self._directory, line)
        self._head.mark()
        self._switch_to(path, number, len(line), start.first_seq - 1, head)

    def _switch_to(self, path: Path, number: int, length: int, seq: int, head: bytes) -> None:
        path.rename(open_path(self._directory, number))
        generation = self._head.read()[0] + 1
        self._use(number, generation)
        self._head.move(generation, number, length, seq, head)

    def _use(self, number: int, generation: int, header: SegmentHeader | None = None) -> None:
        """Open a file, to append to."""
        path = open_path(self._directory, number)
        if header is None:
            header = read_header(path)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        if self._leaves:
            for skipped in numbers(self._directory, OPEN):
                if self.number < skipped < number:
                    self._leave(skipped, os.open(open_path(self._directory, skipped), os.O_RDONLY | os.O_CLOEXEC))
        if self.file >= 0:
            self._leave(self.number, self.file)
        self.number = number
        self.file, self.generation, self._header, self._hour = file, generation, header, header.opened_at[:13]

    def _leave(self, number: int, file: int) -> None:
        if self._leaves:
            self._left.append((number, file))
        else:
            os.close(file)
