"""What the parser said of a head is a value: the same bytes give the same value.

A request whose head has been read before, byte for byte, is taken without asking the parser again, if it has arrived
as a whole and nothing else with it. Only what the bytes alone decide may be in the value: who asks, whether the host is
ours and what is too large are asked anew for each request.
"""

from policy_core.remembering import Remembered, SeenOnce

END = b"\r\n\r\n"
MAX_HEAD_BYTES = 2 << 10
"""A head that is longer is read each time."""
MAX_BYTES = 4 << 20
"""For the heads of a service, about 4000 of them."""
_ONCE = 4096
"""Of so many heads that have come once a hash is kept: those that never come again cost little, and push none out."""
_OVERHEAD_BYTES = 800
"""Of a head that is remembered, beside its bytes, which are there twice: as a whole, and as what was read of them."""
_VALUE_BYTES = 200
"""Of each header among those that are kept with their names, or several times."""


class ReadHead:
    """The head of one request. Nothing changes it once its request is complete.

    `host` is the name in Host (empty if that is none), `authorization` the digest of what it shows, `origins` are the
    values of its Origin headers, `body_bytes` what Content-Length says. It `is_ambiguous` if Host is missing or there
    twice, `is_encoded` if its body is not just chunked. One that `is_plain` has no header that could make the parser go
    on in another way, and none that is new in each request.
    """

    __slots__ = (
        "authorization", "body_bytes", "expects_continue", "header_bytes", "headers", "host", "is_ambiguous",
        "is_encoded", "is_plain", "keep_alive", "kept", "method", "origins", "request_id", "url",
    )  # fmt: skip

    def __init__(self) -> None:
        self.method = b""
        self.url = b""
        self.headers = 0
        self.header_bytes = 0
        self.host: bytes | None = None
        self.authorization: bytes | None = None
        self.origins: tuple[bytes, ...] = ()
        self.request_id = b""
        self.kept: tuple[tuple[bytes, bytes], ...] = ()
        self.body_bytes = 0
        self.is_ambiguous = False
        self.is_encoded = False
        self.is_plain = True
        self.expects_continue = False
        self.keep_alive = False


class KnownHeads:
    """Heads that a parser has read, by their bytes; each from the second time on that it comes."""

    __slots__ = ("_heads", "_seen", "get")

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._heads: Remembered[bytes, ReadHead] = Remembered(most)
        self._seen = SeenOnce(_ONCE)
        self.get = self._heads.get

    def __len__(self) -> int:
        """Return how many heads are known."""
        return len(self._heads)

    def learn(self, raw: bytes, head: ReadHead) -> None:
        """Remember what the parser has made of a plain head, unless its lines leave a doubt of where it ends."""
        if len(raw) > MAX_HEAD_BYTES or not self._seen.again(raw):
            return
        lines = head.headers + 2  # the first one, and the empty one
        if raw.endswith(END) and raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n") == lines:
            values = len(head.kept) + len(head.origins)
            self._heads.put(raw, head, weight=2 * len(raw) + _OVERHEAD_BYTES + values * _VALUE_BYTES)

    def forget(self) -> None:
        """Forget all heads, and the tokens in their bytes."""
        for _ in self._heads.forget():
            pass
