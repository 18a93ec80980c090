"""Records of one turn of the event loop: written in one go, and the replies that tell of them leave after that."""

import asyncio
from collections.abc import Callable

from agent_sidecar import logs
from agent_sidecar.decision_log.scribe import Entry

Told = Callable[[bool], None]
"""Called in the event loop once records are as durable as is asked for (True), or cannot be made so."""


class Batch:
    """Records that are written together or not at all, and who waits for that.

    Those who wait may keep it for long; of what it holds nothing is kept longer than is needed.
    """

    __slots__ = ("_entries", "_is_durable", "_waiting", "ids", "size")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self.ids: list[str] = []
        self.size = 0
        self._waiting: list[Told] = []
        self._is_durable: bool | None = None

    def add(self, entry: Entry, told_as: str) -> None:
        """Add a record of what somebody is told under this id."""
        self._entries.append(entry)
        self.ids.append(told_as)
        self.size += len(entry[2])

    def take(self) -> list[Entry]:
        """Return the records, once: they are written now."""
        entries, self._entries = self._entries, []
        return entries

    def tell(self, told: Told) -> None:
        """Call back once it is known whether all of them are durable; at once if it is already."""
        if self._is_durable is None:
            self._waiting.append(told)
        else:
            told(self._is_durable)

    async def settled(self) -> bool:
        """Wait until that is known, and return it."""
        known = asyncio.get_running_loop().create_future()
        self.tell(lambda is_durable: None if known.done() else known.set_result(is_durable))
        return bool(await known)

    def settle(self, *, is_durable: bool) -> None:
        """Tell everybody, whoever of them fails at it."""
        self._is_durable = is_durable
        self.ids.clear()
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            try:
                told(is_durable)
            except Exception as error:  # noqa: BLE001 - request boundary: the others must not wait for ever
                logs.bug("reply_not_let_go", error)
