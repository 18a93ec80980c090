"""Whose directories and sockets are believed: everything on the way to them is looked at."""

import os
import socket
from pathlib import Path

import pytest

from agent_sidecar.client.owners import OwnerError, check_directory, check_peer, owners_of
from policy_core.errors import UsageError

US = owners_of(None)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "parent" / "state"
    made.mkdir(parents=True, mode=0o750)
    return made


def test_a_directory_of_ours_is_believed(state: Path) -> None:
    assert check_directory(state, US) == state.resolve()


def test_an_account_is_known_by_name_or_number() -> None:
    assert owners_of("root") == owners_of(0)
    assert 12345 in owners_of(12345)
    with pytest.raises(UsageError, match="no account 'nobody-of-that-name'"):
        owners_of("nobody-of-that-name")


def test_somebody_elses_directory_is_refused(state: Path) -> None:
    with pytest.raises(OwnerError, match="belongs to user id"):
        check_directory(state, frozenset({12345}))


@pytest.mark.parametrize("mode", [0o770, 0o757, 0o1777])
def test_a_directory_that_others_write_to_is_refused(state: Path, mode: int) -> None:
    state.chmod(mode)

    with pytest.raises(OwnerError, match="state: other users can write to it"):
        check_directory(state, US)


def test_a_parent_in_which_others_could_put_another_directory_is_refused(state: Path) -> None:
    state.parent.chmod(0o777)

    with pytest.raises(OwnerError, match="parent: other users can write to it"):
        check_directory(state, US)


def test_a_shared_parent_in_which_nobody_replaces_what_is_not_theirs_is_fine(state: Path) -> None:
    state.parent.chmod(0o1777)

    assert check_directory(state, US) == state.resolve()


def test_a_link_of_ours_is_followed(state: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("parent/../parent/state")

    assert check_directory(tmp_path / "link", US) == state.resolve()


def test_a_link_into_a_directory_of_others_is_refused(state: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(state)
    state.parent.chmod(0o777)

    with pytest.raises(OwnerError, match="parent: other users can write to it"):
        check_directory(tmp_path / "link", US)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_link_of_somebody_else_is_refused(state: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    link = tmp_path / "shared" / "link"
    link.symlink_to(state)
    os.lchown(link, 12345, 12345)

    with pytest.raises(OwnerError, match="link: belongs to user id 12345"):
        check_directory(link, US)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    with pytest.raises(OwnerError, match="more than 40 links"):
        check_directory(tmp_path / "one", US)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OwnerError, match="is no directory"):
        check_directory(tmp_path / "file", US)


def test_a_socket_counts_by_who_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))

        check_peer(client, US, "here")
        with pytest.raises(OwnerError, match=f"here: is served by user id {os.geteuid()} .expected 12345"):
            check_peer(client, frozenset({12345}), "here")


def test_where_the_system_does_not_say_who_listens_nobody_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")

    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OwnerError, match="does not say who answers"):
        check_peer(client, US, "here")
