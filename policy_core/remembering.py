"""What was worked out once and is remembered: within a limit, however many different things callers ask about."""

from array import array
from collections import deque
from collections.abc import Hashable, Iterator
from itertools import islice
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_SLICE = 256  # entries freed between two yields, about 0.1 ms


class Remembered(Generic[Key, Value]):
    """A table that forgets first what it has held for longest; threads may share one.

    All entries together weigh at most `most`, where an entry weighs 1 unless said otherwise. To look up is one call of
    `get`, which notes nothing: an entry that is asked for often is forgotten in its turn, and worked out again.
    """

    __slots__ = ("_lock", "_most", "_order", "_table", "_weight", "get")

    def __init__(self, most: int) -> None:
        self._most = most
        self._table: dict[Key, Value] = {}
        self._order: deque[tuple[Key, int]] = deque()
        self._weight = 0
        self._lock = Lock()
        self.get = self._table.get

    def __len__(self) -> int:
        """Return how many entries are held."""
        return len(self._table)

    def put(self, key: Key, value: Value, *, weight: int = 1) -> None:
        """Remember a value, forgetting others to make room; one that weighs more than all may is not remembered."""
        if weight > self._most:
            return
        with self._lock:
            while self._weight + weight > self._most:
                oldest, freed = self._order.popleft()
                self._weight -= freed
                self._table.pop(oldest, None)  # two threads may have put it twice
            self._weight += weight
            self._order.append((key, weight))
            self._table[key] = value

    def newest(self, count: int) -> list[Key]:
        """Return the keys put last, the newest first."""
        with self._lock:
            return [key for key, _ in islice(reversed(self._order), count)]

    def forget(self) -> Iterator[None]:
        """Forget everything, yielding after every few entries: freed at once, many would stall their process."""
        while self._order:
            with self._lock:
                for _ in range(min(_SLICE, len(self._order))):
                    oldest, freed = self._order.popleft()
                    self._weight -= freed
                    self._table.pop(oldest, None)
            yield


class SeenOnce:
    """Tells what comes again from what never does, by one hash a place, so that the latter takes no memory.

    What shares a place with something else may have to come once more. Hashes are keyed anew in each process: nobody
    can choose bytes that share one.
    """

    __slots__ = ("_hashes", "_places")

    def __init__(self, places: int) -> None:
        self._places = places
        self._hashes = array("q", bytes(8 * places))

    def again(self, content: bytes) -> bool:
        """Tell whether these bytes have come before, and note that they have now."""
        found = hash(content)
        place = found % self._places
        if self._hashes[place] == found:
            return True
        self._hashes[place] = found
        return False
