"""A gzip envelope (RFC 1952) written byte for byte, and read as strictly: one member, one header, nothing behind it.

The compressed bytes may still differ between zlib builds, so what is compared and named is what is inside.
"""

import zlib

from policy_core.errors import InvalidError

PIECE = 256 << 10
"""Larger copies are made of pieces like this: joining them, unlike one slice, lets other threads run meanwhile."""

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"  # deflate, no flags, time 0, best, unknown OS


class GzipError(InvalidError):
    """The bytes are not an envelope this module would have written."""


def compress(content: bytes, *, level: int = 9) -> bytes:
    """Return the envelope: fixed header, raw deflate at a level of zlib, CRC-32 and length."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(content) + deflate.flush()
    return _HEADER + body + _trailer(content)


def decompress(blob: bytes, *, max_bytes: int) -> bytes:
    """Return what is inside, never unpacking more than `max_bytes`.

    Raises GzipError for another header, a second member, trailing bytes, too much, or a wrong CRC or length.
    """
    if blob[: len(_HEADER)] != _HEADER:
        raise GzipError("unexpected gzip header")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content, behind = _inflated(inflate, memoryview(blob)[len(_HEADER) :], max_bytes=max_bytes)
    except zlib.error as error:
        raise GzipError(f"damaged compression ({error})") from error
    if not inflate.eof or behind != _trailer(content):
        raise GzipError("truncated, or checksum and length do not match")
    return content


def _inflated(inflate: "zlib._Decompress", deflated: memoryview, *, max_bytes: int) -> tuple[bytes, bytes]:
    """Return what a stream unpacks to, and what is behind its end. Raises GzipError, zlib.error."""
    pieces, size, behind = [], 0, b""
    for start in range(0, len(deflated), PIECE):
        left: bytes | memoryview = deflated[start : start + PIECE]
        is_full = True
        while not inflate.eof and (left or is_full):
            pieces.append(inflate.decompress(left, PIECE))
            is_full = len(pieces[-1]) == PIECE
            left = inflate.unconsumed_tail
            size += len(pieces[-1])
            if size > max_bytes:
                raise GzipError(f"unpacks to more than {max_bytes} bytes")
        if inflate.eof:
            behind = inflate.unused_data + bytes(deflated[start + PIECE :])
            break
    return b"".join(pieces), behind


def _trailer(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little") + (len(content) & 0xFFFFFFFF).to_bytes(4, "little")
