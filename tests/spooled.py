"""Spools for tests: with a key of their own, and read as an auditor reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_sidecar.decision_log.files import numbers, open_path, sealed_path
from agent_sidecar.decision_log.scribe import Entry
from agent_sidecar.decision_log.spool import Spool
from policy_core.decision_log.enrolment import HostKey, key_id
from policy_core.decision_log.segment import read_open, read_sealed
from policy_core.decision_log.sequence import HostVerifier

NOON = 1_772_366_400.0
HOST = "web-1"


class Signer:
    """A key of a host."""

    def __init__(self) -> None:
        private = Ed25519PrivateKey.from_private_bytes(b"of the tests".ljust(32))  # the same in each process
        self.public = private.public_key().public_bytes_raw()
        self.keyid = key_id(self.public)
        self.sign = private.sign


SIGNER = Signer()


def new_spool(directory: Path, *, clock: Callable[[], float] = lambda: NOON, **options: Any) -> Spool:
    """Return a spool that is not opened yet."""
    return Spool(directory, **{"host": HOST, "signer": SIGNER, "clock": clock, "max_bytes": 64 << 20, **options})


def entry(name: object, *, size: int = 0, ts: str = "2026-03-01T12:00:00.000Z") -> Entry:
    """Return a record with a name."""
    return b"decision", ts, b',"name":"%b","filler":"%b"' % (str(name).encode(), b"x" * size)


def segments(directory: Path) -> list[Path]:
    """Return the files of a spool in order: finished ones, then what is open."""
    found = [(number, sealed_path(directory, number)) for number in numbers(directory, ".sealed.jsonl")]
    found += [(number, open_path(directory, number)) for number in numbers(directory, ".open.jsonl")]
    return [path for _, path in sorted(found)]


def records(directory: Path) -> list[dict[str, Any]]:
    """Return all records of a spool."""
    lines = [line for path in segments(directory) for line in path.read_bytes().splitlines()]
    return [each for each in map(msgspec.json.decode, lines) if "seq" in each]


def names(directory: Path) -> list[str]:
    """Return the names in the records that have one."""
    return [each["name"] for each in records(directory) if "name" in each]


def flaws(directory: Path, *, public: bytes = SIGNER.public, host: str = HOST) -> list[str]:
    """Return what an auditor finds wrong, but for an end that is not signed yet."""
    key = HostKey(host, public, "2026-01-01T00:00:00.000Z")
    verifier = HostVerifier(host, {key.keyid: key}, from_start=True)
    for path in segments(directory):
        content = path.read_bytes()
        read = read_sealed if b'\n{"type":"seal"' in content else read_open
        verifier.take(path.name, b"", read(content, name=path.name))
    reports, findings = verifier.finish()
    assert len(reports) <= 1
    return [each.flaw.value for each in findings if each.flaw.value != "unsigned"]
