"""Sockets handed over by a service manager are used if they are what the configuration says, and refused otherwise."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_sidecar.server import handed_over
from agent_sidecar.server.handed_over import HandedOver
from policy_core.errors import UsageError


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, str]]]:
    """Return what puts sockets where the protocol expects them, but high up, and the environment that tells of them."""
    used: list[int] = []

    def give(**sockets: socket.socket) -> dict[str, str]:
        first = 200 + len(used)
        monkeypatch.setattr(handed_over, "FIRST_DESCRIPTOR", first)
        for number, sock in enumerate(sockets.values(), start=first):
            os.dup2(sock.fileno(), number)
            used.append(number)
        return {
            "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets),
        }  # fmt: skip

    yield give
    for number in used:
        try:
            os.close(number)
        except OSError:  # taken, and closed with its socket
            continue


@pytest.fixture
def taken() -> Iterator[Callable[[dict[str, str]], HandedOver]]:
    made: list[HandedOver] = []

    def take(environment: dict[str, str]) -> HandedOver:
        made.append(HandedOver.taken_from(environment))
        return made[-1]

    yield take
    for handed in made:
        handed.close()


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "d.sock"))
        sock.listen()
        yield sock


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_sockets_are_taken_as_they_are(
    descriptors: Callable[..., dict[str, str]], unix: socket.socket, tcp: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "d.sock").chmod(0o666)
    environment = descriptors(decision=unix, tcp=tcp) | {"HOME": "/"}

    handed = HandedOver.taken_from(environment)
    decision, port = handed.unix("decision", tmp_path / "d.sock"), handed.tcp("tcp", tcp.getsockname())

    assert decision
    assert port
    assert (decision.getsockname(), port.getsockname()) == (unix.getsockname(), tcp.getsockname())
    assert (tmp_path / "d.sock").stat().st_mode & 0o777 == 0o666
    assert not decision.get_inheritable()
    assert environment == {"HOME": "/"}
    assert handed.unix("admin", tmp_path / "admin.sock") is None
    handed.check_all_used()
    decision.close()
    port.close()


def test_sockets_for_another_process_are_left_alone(
    descriptors: Callable[..., dict[str, str]], unix: socket.socket, tmp_path: Path
) -> None:
    handed = HandedOver.taken_from(descriptors(decision=unix) | {"LISTEN_PID": "1"})

    assert handed.unix("decision", tmp_path / "d.sock") is None


@pytest.mark.parametrize(
    "names", ["", "other", "decision:decision", "decision:admin", "decision:"], ids=lambda names: names or "none"
)
def test_names_that_are_unknown_doubled_or_of_another_number_are_refused(
    descriptors: Callable[..., dict[str, str]], unix: socket.socket, names: str
) -> None:
    environment = descriptors(decision=unix) | {"LISTEN_FDNAMES": names}

    with pytest.raises(UsageError, match="LISTEN_FDNAMES"):
        HandedOver.taken_from(environment)


def test_what_is_no_listening_stream_is_refused(
    descriptors: Callable[..., dict[str, str]], tmp_path: Path, tcp: socket.socket
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams, socket.socket(socket.AF_UNIX) as mute:
        datagrams.bind(str(tmp_path / "dgram"))
        mute.bind(str(tmp_path / "mute"))

        with pytest.raises(UsageError, match="no listening stream"):
            HandedOver.taken_from(descriptors(decision=datagrams))
        with pytest.raises(UsageError, match="no listening stream"):
            HandedOver.taken_from(descriptors(decision=mute))
    with (tmp_path / "file").open("w") as file, pytest.raises(UsageError, match="is no socket"):
        HandedOver.taken_from(descriptors(decision=file))  # type: ignore[arg-type]


def test_a_socket_somewhere_else_than_configured_is_refused(
    descriptors: Callable[..., dict[str, str]],
    taken: Callable[..., HandedOver],
    unix: socket.socket,
    tcp: socket.socket,
    tmp_path: Path,
) -> None:
    port = tcp.getsockname()[1]

    with pytest.raises(UsageError, match="not the one that is configured"):
        taken(descriptors(decision=unix)).unix("decision", tmp_path / "other.sock")
    with pytest.raises(UsageError, match="not the one that is configured"):
        taken(descriptors(decision=tcp)).unix("decision", tmp_path / "d.sock")
    with pytest.raises(UsageError, match="not the one that is configured"):
        taken(descriptors(tcp=tcp)).tcp("tcp", ("127.0.0.1", port + 1))
    with pytest.raises(UsageError, match="not the one that is configured"):
        taken(descriptors(tcp=unix)).tcp("tcp", ("127.0.0.1", port))


def test_an_abstract_socket_which_no_file_mode_guards_is_refused(
    descriptors: Callable[..., dict[str, str]], taken: Callable[..., HandedOver], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0writ-{os.getpid()}")
        sock.listen()

        with pytest.raises(UsageError, match="not the one that is configured"):
            taken(descriptors(decision=sock)).unix("decision", tmp_path / "d.sock")


@pytest.mark.parametrize("mode", [0o660, 0o666, 0o601])
def test_an_admin_socket_that_others_may_open_is_refused(
    descriptors: Callable[..., dict[str, str]],
    taken: Callable[..., HandedOver],
    unix: socket.socket,
    tmp_path: Path,
    mode: int,
) -> None:
    (tmp_path / "d.sock").chmod(mode)

    with pytest.raises(UsageError, match="open to others"):
        taken(descriptors(admin=unix)).unix("admin", tmp_path / "d.sock", is_private=True)


def test_a_socket_whose_file_is_gone_is_refused(
    descriptors: Callable[..., dict[str, str]], taken: Callable[..., HandedOver], unix: socket.socket, tmp_path: Path
) -> None:
    handed = taken(descriptors(admin=unix))
    (tmp_path / "d.sock").unlink()

    with pytest.raises(UsageError, match="No such file"):
        handed.unix("admin", tmp_path / "d.sock", is_private=True)


def test_a_count_that_is_no_number_is_refused(descriptors: Callable[..., dict[str, str]], unix: socket.socket) -> None:
    with pytest.raises(UsageError, match="LISTEN_FDNAMES"):
        HandedOver.taken_from(descriptors(decision=unix) | {"LISTEN_FDS": "\N{SUPERSCRIPT ONE}"})


def test_a_socket_that_nothing_asks_for_is_a_mistake(
    descriptors: Callable[..., dict[str, str]], taken: Callable[..., HandedOver], tcp: socket.socket
) -> None:
    with pytest.raises(UsageError, match="nothing listens there"):
        taken(descriptors(tcp=tcp)).check_all_used()
