"""The running hash through all lines of a chain, and what a checkpoint signs. Pure.

``head`` is 32 bytes: of nothing before the first segment, of the last record between two. A header takes it up as it
stands; each record follows with its bytes up to its own ``record_hash``, which is the new head.
"""

from binascii import hexlify
from collections.abc import Callable
from hashlib import sha256

from policy_core.decision_log.lines import SegmentHeader, checkpoint_start, encode_line

_CHECKPOINT_DOMAIN = b"writ.decision-log/1 checkpoint\n"  # a host's key signs other things, too

Sign = Callable[[bytes], bytes]


def next_head(head: bytes, content: bytes) -> bytes:
    """Return the head after a line, given without newline and without ``,"record_hash":…}``."""
    return sha256(head + content).digest()


def opened(header: SegmentHeader) -> tuple[bytes, bytes]:
    """Return the first line of a segment, with newline, and the head after it."""
    line = encode_line(header)
    return line + b"\n", next_head(bytes.fromhex(header.previous), line)


def chained(head: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """Return the line of a record, with newline, and the head after it.

    `prefix` is its JSON without the closing brace: ``{"type":…,"seq":…,"ts":…,…``.
    """
    head = sha256(head + prefix).digest()
    return b"".join((prefix, b',"record_hash":"', hexlify(head), b'"}\n')), head  # `%` takes twice as long


def checkpoint_prefix(head: bytes, *, seq: int, ts: str, keyid: str, sign: Sign) -> bytes:
    """Return what `chained` makes a checkpoint of: a record that signs everything before it, and itself."""
    start = checkpoint_start(seq=seq, ts=ts, keyid=keyid)
    return b'%b,"sig":"%b"' % (start, sign(checkpoint_message(head, start)).hex().encode())


def checkpoint_message(head: bytes, covered: bytes) -> bytes:
    """Return what the signature of a checkpoint is over: the head before it, and its own line up to the signature."""
    return _CHECKPOINT_DOMAIN + head + covered
