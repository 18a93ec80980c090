"""Sockets: modes, left-overs, conflicts."""

import os
import resource
import socket
import stat
from pathlib import Path

import pytest

from agent_sidecar.server.listening import (
    RESERVED_DESCRIPTORS,
    claim_socket,
    connection_limit,
    listen_tcp,
    listen_unix,
)
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


def test_a_path_is_claimed_by_one_until_it_lets_go(tmp_path: Path) -> None:
    first = claim_socket(tmp_path / "s")

    with pytest.raises(ConflictError, match="another server answers there"):
        claim_socket(tmp_path / "s")

    os.close(first)
    os.close(claim_socket(tmp_path / "s"))


def test_a_link_is_not_followed_to_claim_a_path(tmp_path: Path) -> None:
    (tmp_path / "s.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="cannot be made"):
        claim_socket(tmp_path / "s")

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("limits", "expected", "raised_to"),
    [
        ((1024, 1_000_000), 1024, 2 * 1024 + RESERVED_DESCRIPTORS),
        ((1024, resource.RLIM_INFINITY), 1024, 2 * 1024 + RESERVED_DESCRIPTORS),
        ((256, 2048), (2048 - RESERVED_DESCRIPTORS) // 2, 2048),
        ((256, 256), 64, 256),
        ((100_000, 100_000), 1024, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 1024, None),
    ],
)
def test_peers_cannot_use_up_the_files_the_sidecar_needs(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], expected: int, raised_to: int | None
) -> None:
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: asked.append(wanted))

    assert connection_limit(1024, services=2) == expected

    assert asked == ([] if raised_to is None else [(raised_to, limits[1])])
