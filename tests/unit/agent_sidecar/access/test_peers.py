"""Lists of who may connect, on real sockets and with real processes of other users where the tests may make them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent_sidecar.access.peers import Peers, gids, uids

AS_OTHER = """
import os, socket, sys
path, uid, gid, *groups = sys.argv[1:]
os.setgroups([int(each) for each in groups]); os.setgid(int(gid)); os.setuid(int(uid))
sock = socket.socket(socket.AF_UNIX); sock.connect(path); sock.recv(1)
"""
OTHER, GROUP, MORE = 61_234, 61_235, 61_236


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX)


def test_one_is_admitted_by_user_or_by_group_and_nobody_unasked() -> None:
    here, there = pair()

    with here, there:
        assert Peers(uids=frozenset({os.getuid()})).admits(here)
        assert Peers(gids=frozenset({os.getgid()})).admits(here)
        assert not Peers(uids=frozenset({os.getuid() + 1})).admits(here)
        assert not Peers(gids=frozenset({max(os.getgroups(), default=0) + 1 + os.getgid()})).admits(here)
        assert not Peers().admits(here)


def test_what_is_no_unix_socket_is_nobody() -> None:
    with socket.socket() as sock:
        assert not Peers(uids=frozenset({0, os.getuid()})).admits(sock)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be others")
@pytest.mark.parametrize(
    ("peers", "is_admitted"),
    [
        (Peers(uids=frozenset({OTHER})), True),
        (Peers(gids=frozenset({GROUP})), True),
        (Peers(gids=frozenset({MORE})), True),  # a supplementary group
        (Peers(uids=frozenset({0}), gids=frozenset({0})), False),
        (Peers(uids=frozenset({GROUP}), gids=frozenset({OTHER})), False),
    ],
)
def test_another_user_is_who_the_kernel_says(tmp_path: Path, peers: Peers, is_admitted: bool) -> None:
    path = Path("/tmp") / f"writ-peers-{os.getpid()}"  # noqa: S108 - where another user can reach it
    path.mkdir(mode=0o711)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path / "s"))
        (path / "s").chmod(0o666)
        listening.listen()
        listening.settimeout(20)
        arguments = [str(path / "s"), str(OTHER), str(GROUP), str(MORE)]
        with subprocess.Popen([sys.executable, "-c", AS_OTHER, *arguments]) as other:
            sock, _ = listening.accept()
            with sock:
                assert peers.admits(sock) is is_admitted
        assert other.returncode == 0
    finally:
        listening.close()
        (path / "s").unlink(missing_ok=True)
        path.rmdir()


def test_names_are_looked_up_and_unknown_ones_are_mistakes() -> None:
    assert uids(["root", 7]) == {0, 7}
    assert gids(["root"]) == {0}
    for value, message in (
        ("root", "is not a list"), ([], "is not a list"), (["no-such-user-here"], "there is no user"),
        ([-1], "is not a user"), ([True], "is not a user"), ([2**32 - 1], "is not a user"), ([""], "is not a user"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            uids(value)
