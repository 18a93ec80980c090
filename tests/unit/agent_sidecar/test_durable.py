"""Durable files: complete or old, private, and clear when the disk refuses."""

import errno
import stat
from pathlib import Path

import pytest

from agent_sidecar.durable import StateError, append_line, make_directory, read_file, write_file


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_file(tmp_path / "f", b"one")
    write_file(tmp_path / "f", b"two")

    assert (tmp_path / "f").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_file(tmp_path / "f", b"one")
    monkeypatch.setattr("agent_sidecar.durable.os.fsync", full)

    with pytest.raises(StateError, match="No space left") as caught:
        write_file(tmp_path / "f", b"two")

    assert caught.value.hint == "the disk or its quota is full"
    assert (tmp_path / "f").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_torn_line_spoils_only_itself(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b'{"a":1}\n{"b":')

    append_line(tmp_path / "f", b'{"c":3}')
    append_line(tmp_path / "f", b'{"d":4}')

    assert (tmp_path / "f").read_bytes().splitlines() == [b'{"a":1}', b'{"b":', b'{"c":3}', b'{"d":4}']


def test_a_directory_is_private(tmp_path: Path) -> None:
    make_directory(tmp_path / "d")
    make_directory(tmp_path / "d")

    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700


def test_a_directory_that_is_open_to_its_group_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o2750)
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("RestrictSUIDSGID of systemd refuses this"))

    make_directory(tmp_path / "d", group_reads=True)

    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o2750


def test_a_file_in_the_way_of_a_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("")

    with pytest.raises(StateError, match="cannot be created"):
        make_directory(tmp_path / "d")


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")

    assert read_file(tmp_path / "f", max_bytes=5) == b"12345"
    with pytest.raises(StateError, match="too large"):
        read_file(tmp_path / "f", max_bytes=4)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", max_bytes=4)
