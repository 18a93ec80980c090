import json
from pathlib import Path

import pytest

from agent_sidecar.durable import StateError
from agent_sidecar.host_key import HostSigner, open_host_key
from policy_core.decision_log.enrolment import decode_enrolment

NOW = 1_772_366_400.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


def opened(state: Path) -> HostSigner:
    return open_host_key(state, host="web-1", now=NOW)


def test_a_key_is_made_once_and_only_its_owner_can_read_it(state: Path) -> None:
    first = opened(state)
    again = open_host_key(state, host="web-1", now=NOW + 1_000)

    assert first.key == again.key
    assert first.enrolment() == again.enrolment()
    assert (state / "host.key").stat().st_mode & 0o777 == 0o600
    assert not list(state.glob(".tmp-*"))


def test_the_enrolment_is_signed_by_the_key_itself(state: Path) -> None:
    signer = opened(state)
    name, content = signer.enrolment()

    assert decode_enrolment(content, name=name) == signer.key
    assert (state / "host.pub").read_bytes() == content
    assert signer.key.verifies(signer.sign(b"x"), b"x")
    assert signer.key.created == "2026-03-01T12:00:00.000Z"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_key_that_others_could_read_is_refused(state: Path, mode: int) -> None:
    opened(state)
    (state / "host.key").chmod(mode)

    with pytest.raises(StateError, match="others could have read it"):
        opened(state)


def test_whatever_digit_of_a_key_changes_it_is_refused_and_kept(state: Path) -> None:
    opened(state)
    path = state / "host.key"
    fields = json.loads(path.read_text())
    for name in ("private", "public"):
        for position in (0, 31, 63):
            text = fields[name]
            changed = text[:position] + ("0" if text[position] != "0" else "1") + text[position + 1 :]
            path.write_text(json.dumps(fields | {name: changed}))

            with pytest.raises(StateError, match="is damaged"):
                opened(state)
            assert json.loads(path.read_text())[name] == changed


@pytest.mark.parametrize(
    "content", ["", "{", "{}", '{"schema":"writ.host-key/1","private":"","public":"","created":""}']
)
def test_what_is_no_key_is_refused(state: Path, content: str) -> None:
    opened(state)
    (state / "host.key").write_text(content)

    with pytest.raises(StateError, match="is damaged"):
        opened(state)


def test_a_lost_key_is_not_replaced_where_there_is_a_log(state: Path) -> None:
    opened(state)
    (state / "host.key").unlink()
    (state / "spool").mkdir()
    (state / "spool" / "0000000000000001.open.jsonl").touch()

    with pytest.raises(StateError, match="is gone") as caught:
        opened(state)
    assert "begins anew" in caught.value.hint


def test_a_link_is_no_key(state: Path) -> None:
    opened(state)
    (state / "host.key").rename(state / "elsewhere")
    (state / "host.key").symlink_to("elsewhere")

    with pytest.raises(StateError, match="no regular file"):
        opened(state)


def test_the_public_half_is_made_again(state: Path) -> None:
    signer = opened(state)
    (state / "host.pub").write_text("changed")

    opened(state)

    assert (state / "host.pub").read_bytes() == signer.enrolment()[1]
