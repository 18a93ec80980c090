"""A gzip envelope (RFC 1952) written byte for byte, and read as strictly: one member, one header, nothing behind it.

The compressed bytes may still differ between zlib builds, so what is compared and named is what is inside.
"""

import zlib

from policy_core.errors import InvalidError

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"  # deflate, no flags, time 0, best, unknown OS


class GzipError(InvalidError):
    """The bytes are not an envelope this module would have written."""


def compress(content: bytes) -> bytes:
    """Return the envelope: fixed header, raw deflate, CRC-32 and length."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
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
        content = inflate.decompress(memoryview(blob)[len(_HEADER) :], max_bytes + 1)
    except zlib.error as error:
        raise GzipError(f"damaged compression ({error})") from error
    if len(content) > max_bytes:
        raise GzipError(f"unpacks to more than {max_bytes} bytes")
    if not inflate.eof or inflate.unused_data != _trailer(content):
        raise GzipError("truncated, or checksum and length do not match")
    return content


def _trailer(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little") + (len(content) & 0xFFFFFFFF).to_bytes(4, "little")
