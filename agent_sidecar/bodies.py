"""Bodies that come again, byte for byte: what they alone decide is worked out once.

A body is looked up by all its bytes, and each protocol that reads bodies in its own way has a memory of its own, so
that nothing can be taken for something else. What is kept of one is that it was read without losing anything, and what
the log says of it; decoded values are not kept, as others could change them and the garbage collector would walk them.

Bodies that never repeat cost next to nothing: one is kept when it comes for the second time, and where none does for
long, none is looked up for a while. What is kept is bounded in bytes.
"""

from collections.abc import Callable

from agent_sidecar.asked import MAX_ANSWER_BYTES, Asked, AskedAgain
from policy_core.decoding import decode_request
from policy_core.remembering import Remembered, SeenOnce

MAX_BODY_BYTES = 4_096
MAX_BYTES = 8_000_000  # of all that is kept, with what Python adds
PATIENCE = 2_000  # bodies in a row that were not known, until bodies are left alone
REST = 8_000  # bodies for which they are
_ENTRY_BYTES = 1_000 + MAX_ANSWER_BYTES
_PLACES = 1 << 16  # for hashes of bodies that were seen once


def _whole(decoded: object) -> object:
    return decoded


class Bodies:
    """Reads bodies; `pick` returns the request in a decoded one, and may raise. For the event loop."""

    __slots__ = ("_get", "_known", "_misses", "_pick", "_seen")

    def __init__(self, pick: Callable[[object], object] = _whole) -> None:
        self._pick = pick
        self._known: Remembered[bytes, AskedAgain] = Remembered(MAX_BYTES)
        self._get = self._known.get
        self._seen = SeenOnce(_PLACES)
        self._misses = 0  # in a row; below zero, how many bodies are not looked up yet

    def __len__(self) -> int:
        """Return how many bodies are known."""
        return len(self._known)

    def asked(self, body: bytes | bytearray) -> Asked | AskedAgain:
        """Return what is asked in a body. Raises RequestError as `decode_request` does, and what `pick` raises."""
        if type(body) is bytes and len(body) <= MAX_BODY_BYTES:
            if self._misses >= 0:
                known = self._get(body)
                if known is None:
                    return self._unknown(body)
                self._misses = 0
                return known
            self._misses += 1
        return Asked(self._pick(decode_request(body)))

    def _unknown(self, body: bytes) -> Asked:
        """Read a body, and keep what is known of it if it is a request that was seen before."""
        asked = Asked(self._pick(decode_request(body)))
        self._misses += 1
        if self._misses == PATIENCE:
            self._misses = -REST
        if self._seen.again(body):
            self._keep(body, asked)
        return asked

    def _keep(self, body: bytes, asked: Asked) -> None:
        told = asked.told
        if told is not None and not told.grants:  # a grant is used once
            weight = _ENTRY_BYTES + len(body) + len(told.input)
            self._known.put(body, AskedAgain(body, self._pick, told), weight=weight)
