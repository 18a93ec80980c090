"""``provisions.json``: what a bundle holds beside rules and data - exceptions, approvers and the like."""

import re

import msgspec

from policy_core.errors import InvalidError
from policy_core.model import Provisions

_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")
_ENCODER = msgspec.json.Encoder(order="sorted")


class ProvisionsError(InvalidError):
    """``provisions.json`` is not what `encode_provisions` writes."""

    default_hint = "build the bundle again with a builder of the same version"


def encode_provisions(provisions: Provisions) -> bytes:
    """Return the content of ``provisions.json``, empty if there is nothing beside the data."""
    beside = msgspec.structs.replace(provisions, data={})
    return b"" if beside == Provisions() else _ENCODER.encode(beside) + b"\n"


def decode_provisions(content: bytes) -> Provisions:
    """Return what `encode_provisions` wrote. Raises ProvisionsError."""
    try:
        found = msgspec.json.decode(content, type=Provisions)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProvisionsError(f"provisions: {error}") from error
    if found.data:
        raise ProvisionsError("provisions: data has a file of its own")
    ids, keys = ([getattr(each, name) for each in found.approvers] for name in ("id", "key"))
    if len(set(ids)) < len(ids) or len(set(keys)) < len(keys):
        raise ProvisionsError("provisions: two approvers with one id or one key")  # one person, counted twice
    if not all(map(_PUBLIC_KEY.fullmatch, keys)):
        raise ProvisionsError("provisions: a key that is not 64 lower-case hex digits")
    return found
