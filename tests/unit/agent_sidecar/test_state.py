"""The state directory: its lock, and a state file that is never lost nor half read."""

import errno
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_sidecar.durable import StateError
from agent_sidecar.snapshots import SnapshotRef
from agent_sidecar.state import Pin, Rejection, Settings, State, StateDirectory, read_state, read_trusted_root
from policy_core.errors import ConflictError, UsageError
from policy_core.trust.chain import MetadataChain

SETTINGS = Settings(store="file:///srv/p", channel="prod")
CHAIN = MetadataChain(roots=(b"{}",), timestamp=b"{}", snapshot=b"{}", targets=b"{}", channel=b"{}", oncall=b"")


def open_state(path: Path, settings: Settings = SETTINGS) -> StateDirectory:
    return StateDirectory.open(path, settings=settings, trusted_root=b"{}")


def test_a_state_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    with closing(open_state(tmp_path / "s")) as directory:
        saved = msgspec.structs.replace(
            directory.state,
            current=SnapshotRef("a" * 64, 2, "b" * 40),
            previous=SnapshotRef("c" * 64, 1, "d" * 40),
            pin=Pin(1.5, 2.5, "why", "uid 1"),
            rejected=(Rejection(at=3.0, reason="bad", sha256="e" * 64),),
            highest_release=2,
            versions={"root": 1},
            time_seen=99.5,
        )
        directory.save(saved)

    with closing(open_state(tmp_path / "s")) as directory:
        assert directory.state == saved
    assert read_trusted_root(tmp_path / "s") == b"{}"


def test_a_second_owner_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = open_state(tmp_path / "s")

    with pytest.raises(ConflictError, match=r"another sidecar uses it \(process \d+\)"):
        open_state(tmp_path / "s")

    first.close()
    open_state(tmp_path / "s").close()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"format":1}', b'{"extra":1}', b"[" * 9999])
def test_a_damaged_state_is_an_error_and_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    open_state(tmp_path / "s").close()
    (tmp_path / "s/state.json").write_bytes(content)

    with pytest.raises(StateError, match=r"state\.json: is damaged") as caught:
        open_state(tmp_path / "s")

    assert "move" in caught.value.hint
    assert (tmp_path / "s/state.json").read_bytes() == content


def test_a_state_of_a_newer_format_is_an_error(tmp_path: Path) -> None:
    open_state(tmp_path / "s").close()
    newer = msgspec.json.encode(State(format=2, settings=SETTINGS))
    (tmp_path / "s/state.json").write_bytes(newer)

    with pytest.raises(StateError, match="format 2"):
        open_state(tmp_path / "s")


def test_a_directory_of_another_channel_is_refused_and_can_be_opened_again(tmp_path: Path) -> None:
    open_state(tmp_path / "s").close()

    with pytest.raises(UsageError, match="belongs to channel prod"):
        open_state(tmp_path / "s", Settings(store="", channel="staging"))

    open_state(tmp_path / "s").close()


def test_a_directory_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)

    with pytest.raises(UsageError, match="other users can write to it"):
        open_state(tmp_path / "s")


def test_left_overs_of_interrupted_writes_are_removed(tmp_path: Path) -> None:
    open_state(tmp_path / "s").close()
    (tmp_path / "s/.tmp-1").write_text("")
    (tmp_path / "s/.tmp-2").mkdir()  # not ours, but no reason not to start

    open_state(tmp_path / "s").close()

    assert not (tmp_path / "s/.tmp-1").exists()


def test_a_directory_that_holds_no_state_is_told_apart(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    with pytest.raises(UsageError, match="is not the state directory of a sidecar"):
        read_trusted_root(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"time_seen": 1e300},
        {"time_seen": -1.0},
        {"highest_release": -1},
        {"pin": Pin(0.0, 1e300, "why", "uid 1")},
        {"current": SnapshotRef("../../elsewhere", 1, "")},
    ],
)
def test_a_state_no_sidecar_would_write_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    open_state(tmp_path / "s").close()
    altered = msgspec.structs.replace(State(settings=SETTINGS), **change)
    (tmp_path / "s/state.json").write_bytes(msgspec.json.encode(altered))

    with pytest.raises(StateError, match="is damaged"):
        open_state(tmp_path / "s")


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_state(tmp_path / "s").close()
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "s").stat().st_uid + 1)

    with pytest.raises(UsageError, match="belongs to another user"):
        open_state(tmp_path / "s")


def test_a_full_disk_does_not_keep_a_host_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    open_state(tmp_path / "s").close()
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(os, "pwrite", full)

    open_state(tmp_path / "s").close()


def test_a_new_trust_root_replaces_the_one_kept(tmp_path: Path) -> None:
    open_state(tmp_path / "s").close()

    StateDirectory.open(tmp_path / "s", settings=SETTINGS, trusted_root=b"{ }").close()

    assert read_trusted_root(tmp_path / "s") == b"{ }"


@pytest.mark.parametrize("name", ["state.json", "root.json"])
def test_a_pipe_in_the_way_does_not_hang(tmp_path: Path, name: str) -> None:
    open_state(tmp_path / "s").close()
    (tmp_path / "s" / name).unlink()
    os.mkfifo(tmp_path / "s" / name)

    with pytest.raises(StateError, match="is no regular file"):
        (read_state if name == "state.json" else read_trusted_root)(tmp_path / "s")


def test_a_directory_opened_to_its_group_is_so_whatever_the_umask_and_whatever_was_there(tmp_path: Path) -> None:
    path, ref = tmp_path / "state", SnapshotRef("a" * 64, 1, "r")
    closed = StateDirectory.open(path, settings=SETTINGS, trusted_root=b"root")
    closed.snapshots.save(ref, b"bundle", CHAIN)
    closed.close()
    before = os.umask(0o077)
    try:
        opened = StateDirectory.open(path, settings=SETTINGS, trusted_root=b"root", group_reads=True)
        opened.snapshots.save(SnapshotRef("b" * 64, 2, "r"), b"bundle", CHAIN)
        opened.save(opened.state)
        opened.close()
    finally:
        os.umask(before)

    modes = {each.name: each.stat().st_mode & 0o777 for each in (path, *path.rglob("*"))}
    assert modes.pop("lock") == 0o600
    assert {modes[name] for name in ("state", "snapshots", "a" * 64, "b" * 64)} == {0o750}
    assert {
        modes[name] for name in ("state.json", "root.json", "bundle.tar.gz", "release-1.json", "release-2.json")
    } == {0o640}
