import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from written_logs import AT, LogWriter

from policy_core.decision_log.enrolment import HostKey, decode_enrolment, encode_enrolment, enrolment_message
from policy_core.decision_log.errors import LogError

WRITER = LogWriter()
NAME, CONTENT = WRITER.enrolment()


def test_an_enrolled_key_is_read_back() -> None:
    assert decode_enrolment(CONTENT, name=NAME) == WRITER.key
    assert f"hosts/web-1/{WRITER.key.keyid}.json" == NAME


@settings(max_examples=examples(200, nightly=5_000), deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_any_change_of_an_enrolment_is_found(position: int, change: int) -> None:
    changed = bytearray(CONTENT)
    changed[position] ^= change

    with pytest.raises(LogError, match="enrols no key"):
        decode_enrolment(bytes(changed), name=NAME)


def test_the_key_of_another_host_cannot_be_taken_over() -> None:
    stolen = HostKey("web-2", WRITER.key.public, AT)
    thief = LogWriter()

    with pytest.raises(LogError):
        decode_enrolment(encode_enrolment(stolen, thief.private.sign(enrolment_message(stolen))), name=NAME)


def test_a_key_anybody_can_sign_for_enrols_nobody() -> None:
    weak = HostKey("web-1", bytes(32), AT)

    with pytest.raises(LogError):
        decode_enrolment(encode_enrolment(weak, bytes(64)), name=NAME)
