"""Sockets: modes, left-overs, conflicts."""

import os
import socket
import stat
from pathlib import Path

import pytest

from agent_sidecar.server.listening import listen_tcp, listen_unix
from policy_core.errors import ConflictError, UsageError


def test_a_socket_has_its_mode_and_nothing_else_is_left(tmp_path: Path) -> None:
    with listen_unix(tmp_path / "s", mode=0o620):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o620
        assert os.listdir(tmp_path) == ["s"]  # noqa: PTH208


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    listen_unix(tmp_path / "s", mode=0o600).close()

    with listen_unix(tmp_path / "s", mode=0o600), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_a_socket_of_a_live_server_is_a_conflict_and_stays(tmp_path: Path) -> None:
    with listen_unix(tmp_path / "s", mode=0o600):
        with pytest.raises(ConflictError, match="another server answers there"):
            listen_unix(tmp_path / "s", mode=0o600)

        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")

    with pytest.raises(UsageError, match="file of another kind"):
        listen_unix(tmp_path / "s", mode=0o600)

    assert (tmp_path / "s").read_text() == "precious"


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        listen_unix(tmp_path / "no" / "s", mode=0o600)


def test_a_path_too_long_for_the_kernel_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"path too long \(expected at most 107 bytes"):
        listen_unix(tmp_path / ("d" * 120) / "s", mode=0o600)


def test_a_port_in_use_is_a_conflict() -> None:
    with listen_tcp("127.0.0.1", 0) as sock, pytest.raises(ConflictError, match="listen 127"):
        listen_tcp("127.0.0.1", sock.getsockname()[1])
