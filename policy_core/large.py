"""Large JSON documents decoded in pieces, and freed in pieces: in one call, either would hold up every other thread."""

from collections.abc import Iterator
from typing import Any

import msgspec

PIECE = 64 << 10
_SLICE = 256  # entries freed between two yields, about 0.1 ms

_decode = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def decode_in_pieces(content: bytes | msgspec.Raw) -> Any:
    """Return what one call would decode. Raises what that would: DecodeError, UnicodeDecodeError, RecursionError.

    What takes more than a piece is taken apart first; entries without number of one object or list still take a call.
    """
    if len(memoryview(content)) <= PIECE:
        return _decode(content)
    first = bytes(memoryview(content)[:64]).lstrip()[:1]
    if first == b"{":
        return {key: decode_in_pieces(value) for key, value in _members(content).items()}
    if first == b"[":
        return [decode_in_pieces(value) for value in _items(content)]
    return _decode(content)


def free_in_pieces(document: dict[str, Any]) -> Iterator[None]:
    """Empty a document that nobody reads any more, yielding after every few entries."""
    under_way: list[Any] = [document]
    while under_way:
        part = under_way[-1]
        for _ in range(min(_SLICE, len(part))):
            entry = part.popitem()[1] if type(part) is dict else part.pop()
            if _may_hold_much(entry):
                under_way.append(entry)
                break
        else:
            if not part:
                under_way.pop()
        yield


def _may_hold_much(entry: object) -> bool:
    """Tell whether an entry is more than a thing or two: one of one entry may hold all there is below it."""
    if type(entry) is dict:
        return len(entry) > 1 or any(type(each) in (dict, list) for each in entry.values())
    return type(entry) is list and (len(entry) > 1 or any(type(each) in (dict, list) for each in entry))
