"""One set of files, one archive: a canonical USTAR inside a gzip envelope written byte for byte.

Reading accepts exactly what writing produces. Each header is compared with the one we would have written for that name
and size, so links, devices, absolute or parent paths, duplicates, odd modes and trailing data cannot even be expressed.
The compressed bytes may differ between zlib builds; the tar never does (digest over it: ``content_sha256``).
"""

import re
from collections.abc import Iterator, Mapping

from policy_core import gzipped
from policy_core.errors import InvalidError
from policy_core.gzipped import PIECE

MAX_BUNDLE_BYTES = 64 << 20
MAX_TAR_BYTES = 256 << 20
MAX_ENTRIES = 20_000
MAX_PATH_BYTES = 240

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_SIZE = re.compile(rb"[0-7]{11}")
_SEGMENT = re.compile(r"(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f\\]+")


class ArchiveError(InvalidError):
    """The bytes are not an archive this module would have written."""

    default_hint = "fetch the bundle again; if it stays like this, it was altered or written by something else"


def write_tar(files: Mapping[str, bytes]) -> bytes:
    """Return the canonical tar of `files` (relative POSIX path -> content), sorted by path.

    Raises ArchiveError for a path that cannot be stored, or a total beyond the limits of a reader.
    """
    if len(files) > MAX_ENTRIES:
        raise ArchiveError(f"bundle: too many files (at most {MAX_ENTRIES}, found {len(files)})", hint="")
    blocks = []
    for path in sorted(files, key=str.encode):
        content = files[path]
        blocks += [_header(path, len(content)), content, bytes(-len(content) % _BLOCK)]
    tar = b"".join([*blocks, _END])
    if len(tar) > MAX_TAR_BYTES:
        raise ArchiveError(f"bundle: too large (at most {MAX_TAR_BYTES} bytes unpacked, found {len(tar)})", hint="")
    return tar


def compress(tar: bytes) -> bytes:
    """Return the gzip envelope of a tar."""
    return gzipped.compress(tar)


def decompress(blob: bytes) -> bytes:
    """Return the tar inside our gzip envelope, never unpacking more than MAX_TAR_BYTES.

    Raises ArchiveError for another header, a second member, trailing bytes, or a wrong CRC or length.
    """
    if len(blob) > MAX_BUNDLE_BYTES:
        raise ArchiveError(f"bundle: too large (at most {MAX_BUNDLE_BYTES} bytes, found {len(blob)})")
    try:
        return gzipped.decompress(blob, max_bytes=MAX_TAR_BYTES)
    except gzipped.GzipError as error:
        raise ArchiveError(f"bundle: not a bundle archive ({error.message})") from error


def read_tar(tar: bytes) -> dict[str, bytes]:
    """Return path -> content of a canonical tar. Raises ArchiveError for anything `write_tar` would not write."""
    return dict(_entries(tar))


def _entries(tar: bytes) -> Iterator[tuple[str, bytes]]:
    position, previous, count = 0, b"", 0
    while (header := tar[position : position + _BLOCK]) != bytes(_BLOCK):
        path, size = _name_and_size(header)
        if header != _header(path, size):
            raise ArchiveError(f"bundle: {path!r}: not a plain canonical entry")
        if path.encode() <= previous:
            raise ArchiveError(f"bundle: {path!r}: entry out of order or twice")
        if (count := count + 1) > MAX_ENTRIES:
            raise ArchiveError(f"bundle: more than {MAX_ENTRIES} files")
        start, end = position + _BLOCK, position + _BLOCK + size
        position = end + -size % _BLOCK
        if position > len(tar) or tar[end:position].strip(b"\0"):
            raise ArchiveError(f"bundle: {path!r}: truncated or badly padded")
        previous = path.encode()
        yield path, _part(tar, start, end)
    if tar[position:] != _END:
        raise ArchiveError("bundle: data after the end of the archive")


def _part(tar: bytes, start: int, end: int) -> bytes:
    """Return a part of a tar."""
    return b"".join([tar[begin : min(begin + PIECE, end)] for begin in range(start, end, PIECE)])


def _name_and_size(header: bytes) -> tuple[str, int]:
    """Read just what is needed to write the header we expect; the comparison with it is the check."""
    name, prefix = header[:100].rstrip(b"\0"), header[345:500].rstrip(b"\0")
    if not _SIZE.fullmatch(header[124:135]):  # int() would read a sign, and writing it back would agree
        raise ArchiveError("bundle: unreadable archive header (size)")
    try:
        return (prefix + b"/" + name if prefix else name).decode(), int(header[124:135], 8)
    except UnicodeDecodeError as error:
        raise ArchiveError("bundle: unreadable archive header") from error


def _header(path: str, size: int) -> bytes:
    """Return the USTAR header (POSIX.1-1988) of a regular file: mode 0644, everything else zero.

    Raises ArchiveError if the path is not relative and plain, or too long.
    """
    encoded = path.encode()
    if len(encoded) > MAX_PATH_BYTES or not all(_SEGMENT.fullmatch(segment) for segment in path.split("/")):
        raise ArchiveError(f"bundle: {path!r}: not a plain relative path of at most {MAX_PATH_BYTES} bytes", hint="")
    name, prefix = encoded, b""
    if len(encoded) > 100:
        cut = encoded.rfind(b"/", 0, 156)
        name, prefix = encoded[cut + 1 :], encoded[: max(cut, 0)]
        if not 0 < len(name) <= 100:
            raise ArchiveError(f"bundle: {path!r}: file name or folder is too long", hint="use shorter names")
    fields = (
        name.ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0", b"%011o\0" % size, b"00000000000\0",
        b" " * 8, b"0", bytes(100), b"ustar\x0000", bytes(64), b"0000000\0", b"0000000\0",
        prefix.ljust(155, b"\0"), bytes(12),
    )  # fmt: skip
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]
