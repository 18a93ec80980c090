"""A server that begins each answer with some bytes, and then trickles: one byte after the other, without an end."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

PAUSE_S = 0.02


@contextlib.contextmanager
def trickling(begin: bytes) -> Iterator[str]:
    """Serve on a free loopback port until the block ends; the value is the address."""
    ended = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(PAUSE_S)

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # clients hang up
            connection.recv(65_536)
            connection.sendall(begin)
            while not ended.is_set():
                connection.sendall(b"x")
                time.sleep(PAUSE_S)

    def serve() -> None:
        answering = []
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                thread = threading.Thread(target=answer, args=(listening.accept()[0],))
                thread.start()
                answering.append(thread)
        for thread in answering:
            thread.join()

    serving = threading.Thread(target=serve)
    serving.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    ended.set()
    serving.join()
    listening.close()
