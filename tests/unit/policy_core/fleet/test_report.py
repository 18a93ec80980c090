from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policy_core.decision_log.enrolment import HostKey
from policy_core.fleet.names import HostState, features_digest
from policy_core.fleet.report import Report, ReportError, encode_report, read_report, verify_report

FEATURES = frozenset({"rules.v1", "cel.v1"})
STATE = HostState(
    host="web-1", channel="prod", at=1_772_367_005, enforced=42, listed=42, timestamp=7, signed_at=1_772_366_400,
    freshness="fresh", marks=frozenset(), features=features_digest(FEATURES), version="0.4.0",
)  # fmt: skip
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
KEY = HostKey("web-1", PRIVATE.public_key().public_bytes_raw(), "2026-03-01T12:00:00.000Z")


def report(state: HostState = STATE, *, host: str = "web-1", features: frozenset[str] = FEATURES) -> bytes:
    return encode_report(
        state, host=host, features=features, status=b'{"ready":true}', keyid=KEY.keyid, sign=PRIVATE.sign
    )


def test_a_report_is_read_and_verified() -> None:
    found = read_report(report(), STATE)

    verify_report(found, KEY)
    assert found.features == ("cel.v1", "rules.v1")
    assert bytes(found.status) == b'{"ready":true}'


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[" * 5_000, report().replace(b'"host":', b'"hast":'), report(host="web-2"),
        report(replace(STATE, enforced=43)), report(features=frozenset({"rules.v1"})), report() + b"x",
    ],
    ids=["empty", "no fields", "deep", "another key", "another host", "another name", "other features", "more"],
)  # fmt: skip
def test_what_does_not_say_what_its_name_says_is_no_report(content: bytes) -> None:
    with pytest.raises(ReportError):
        read_report(content, STATE)


def test_what_another_key_signed_is_not_the_hosts() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
    forged = encode_report(STATE, host="web-1", features=FEATURES, status=b"{}", keyid=KEY.keyid, sign=other.sign)

    with pytest.raises(ReportError, match="is not signed by the key of web-1"):
        verify_report(read_report(forged, STATE), KEY)


@pytest.mark.parametrize("change", [b"true", b"42", b"cel.v1"])
def test_no_part_of_a_report_can_be_changed(change: bytes) -> None:
    content = report().replace(change, change[::-1]) if change != b"true" else report().replace(b"true", b"null")
    try:
        found: Report | None = read_report(content, STATE)
    except ReportError:
        found = None

    if found:
        with pytest.raises(ReportError):
            verify_report(found, KEY)


def test_a_signature_that_is_none_is_refused() -> None:
    found = read_report(report(), STATE)
    import msgspec

    with pytest.raises(ReportError, match="has no signature"):
        verify_report(msgspec.structs.replace(found, sig="zz"), KEY)
