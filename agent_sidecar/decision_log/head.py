"""Where a log ends: one page of memory that all processes of a host share, backed by ``spool/head``.

Only who holds the lock of the spool reads or writes it. It is marked before anything is written to a segment, and the
mark is cleared last: who finds it set knows that a writer died between, and reads the segment instead.
"""

import mmap
import os
import struct
from pathlib import Path

from agent_sidecar.durable import StateError

_PAGE = 4096
_END = struct.Struct("<QQQQ32sB")
"""The end, and behind it the mark."""
_MARK = _END.size - 1
_REST = struct.Struct("<QQQ")
_SHED = struct.Struct("<QQ32s32s?")
_REST_AT, _SHED_AT = 128, 256

End = tuple[int, int, int, int, bytes]
"""Generation of the open file, its number, its length, the newest seq and its head."""
Shed = tuple[int, int, bytes, bytes, bool]
"""Records given up last: the first and last seq, the head before them and the head after; whether the log tells it."""


class SharedHead:
    """The page; all numbers are those of the spool as a whole."""

    def __init__(self, path: Path) -> None:
        """Map the page, made if there is none. Raises StateError."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(file).st_size < _PAGE:  # written, not only stretched: a full disk must show here
                    os.pwrite(file, b"\0" * _PAGE, 0)
                self._page = mmap.mmap(file, _PAGE)
            finally:
                os.close(file)
        except (OSError, ValueError) as error:
            raise StateError(f"{path}: cannot be mapped: {error}") from error

    @property
    def is_marked(self) -> bool:
        """Tell whether a writer is, or was killed, between two steps."""
        return self._page[_MARK] != 0

    def read(self) -> End:
        """Return the end of the log."""
        return _END.unpack_from(self._page, 0)[:5]

    def mark(self) -> None:
        """Say that the end is about to move."""
        self._page[_MARK] = 1

    def clear(self) -> None:
        """Say that nothing was moved after all."""
        self._page[_MARK] = 0

    def move(self, generation: int, segment: int, length: int, seq: int, head: bytes) -> None:
        """Say where the end is now, and clear the mark."""
        _END.pack_into(self._page, 0, generation, segment, length, seq, head, 0)

    @property
    def finished_bytes(self) -> int:
        """Return how much of the disk segments take that are not written to any more."""
        return int(_REST.unpack_from(self._page, _REST_AT)[0])

    @finished_bytes.setter
    def finished_bytes(self, size: int) -> None:
        self._set_rest(0, size)

    @property
    def checkpoint_seq(self) -> int:
        """Return the seq of the newest checkpoint."""
        return int(_REST.unpack_from(self._page, _REST_AT)[1])

    @checkpoint_seq.setter
    def checkpoint_seq(self, seq: int) -> None:
        self._set_rest(1, seq)

    @property
    def shed_records(self) -> int:
        """Return how many records were given up in all."""
        return int(_REST.unpack_from(self._page, _REST_AT)[2])

    @shed_records.setter
    def shed_records(self, count: int) -> None:
        self._set_rest(2, count)

    @property
    def shed(self) -> Shed | None:
        """Return the range that was given up last, None if nothing ever was."""
        found: Shed = _SHED.unpack_from(self._page, _SHED_AT)
        return found if found[0] else None

    @shed.setter
    def shed(self, shed: Shed) -> None:
        _SHED.pack_into(self._page, _SHED_AT, *shed)
        self._page.flush()

    def _set_rest(self, place: int, value: int) -> None:
        rest = list(_REST.unpack_from(self._page, _REST_AT))
        rest[place] = value
        _REST.pack_into(self._page, _REST_AT, *rest)

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()


class OwnHead:
    """The same for a process that is alone: the end is in its own memory, only what outlives it is in the page."""

    __slots__ = ("_end", "_page", "_shed", "checkpoint_seq", "finished_bytes", "is_marked")

    def __init__(self, path: Path) -> None:
        """Map the page, made if there is none. Raises StateError."""
        self._page = SharedHead(path)
        self._page.mark()  # it says nothing of the end while this process writes, nor after it
        self._shed = self._page.shed
        self._end: End = (0, 0, 0, 0, b"")
        self.is_marked = True
        self.finished_bytes = 0
        self.checkpoint_seq = 0

    def read(self) -> End:
        """Return the end of the log."""
        return self._end

    def mark(self) -> None:
        """Say that the end is about to move."""
        self.is_marked = True

    def clear(self) -> None:
        """Say that nothing was moved after all."""
        self.is_marked = False

    def move(self, generation: int, segment: int, length: int, seq: int, head: bytes) -> None:
        """Say where the end is now, and clear the mark."""
        self._end = (generation, segment, length, seq, head)
        self.is_marked = False

    @property
    def shed_records(self) -> int:
        """Return how many records were given up in all."""
        return self._page.shed_records

    @shed_records.setter
    def shed_records(self, count: int) -> None:
        self._page.shed_records = count

    @property
    def shed(self) -> Shed | None:
        """Return the range that was given up last, None if nothing ever was."""
        return self._shed

    @shed.setter
    def shed(self, shed: Shed) -> None:
        self._shed = self._page.shed = shed

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()


Head = SharedHead | OwnHead
