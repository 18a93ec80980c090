"""Decision logs as a host writes them, without a host: chains of segments under a key of the test's own."""

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policy_core import gzipped
from policy_core.decision_log.chain import chained, checkpoint_prefix, opened
from policy_core.decision_log.enrolment import HostKey, encode_enrolment, enrolment_message
from policy_core.decision_log.lines import NO_HASH, SegmentHeader
from policy_core.decision_log.names import key_object, segment_object
from policy_core.decision_log.segment import seal_line

AT = "2026-03-01T12:00:00.000Z"


@dataclass
class Written:
    """A segment: its bytes, and the name it is shipped under."""

    header: SegmentHeader
    content: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.content).digest()

    @property
    def name(self) -> str:
        return segment_object(self.header, self.digest.hex())

    @property
    def shipped(self) -> bytes:
        return gzipped.compress(self.content)


@dataclass
class LogWriter:
    """Writes one chain of a host."""

    host: str = "web-1"
    chain: str = "c0ffee00c0ffee00"
    boot: str = "b00700aa"
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    seq: int = 0
    segment: int = 0
    head: bytes = bytes.fromhex(NO_HASH)
    created: str = AT

    @property
    def key(self) -> HostKey:
        return HostKey(self.host, self.private.public_key().public_bytes_raw(), self.created)

    @property
    def keys(self) -> dict[str, HostKey]:
        return {self.key.keyid: self.key}

    def enrolment(self) -> tuple[str, bytes]:
        return key_object(self.host, self.key.keyid), encode_enrolment(
            self.key, self.private.sign(enrolment_message(self.key))
        )

    def write(self, *bodies: str, at: str = AT, seal: bool = True) -> Written:
        """Write a segment with a decision for each of the bodies (members of its JSON), signed unless left open."""
        self.segment += 1
        header = SegmentHeader(
            host=self.host, boot=self.boot, chain=self.chain, segment=self.segment, first_seq=self.seq + 1,
            previous=self.head.hex(), opened_at=at, sidecar_version="1.0",
        )  # fmt: skip
        line, self.head = opened(header)
        lines = [line, *(self.record("decision", body, at=at) for body in bodies)]
        if seal:
            lines += [self.checkpoint(at=at), seal_line(header, last_seq=self.seq, head=self.head)]
        return Written(header, b"".join(lines))

    def record(self, kind: str, body: str, *, at: str = AT) -> bytes:
        self.seq += 1
        return self.append(f'{{"type":"{kind}","seq":{self.seq},"ts":"{at}"{body and ","}{body}'.encode())

    def checkpoint(self, *, at: str = AT) -> bytes:
        self.seq += 1
        return self.append(
            checkpoint_prefix(self.head, seq=self.seq, ts=at, keyid=self.key.keyid, sign=self.private.sign)
        )

    def append(self, prefix: bytes) -> bytes:
        line, self.head = chained(self.head, prefix)
        return line
