"""A peer that says to a server whatever a test wants, and reads what comes back."""

import contextlib
import socket
import ssl
from pathlib import Path

PATIENCE_S = 20.0

Address = Path | tuple[str, int]


class RawPeer:
    """A connection to a Unix socket, or to TCP from an address of this machine, with TLS where a context is given."""

    def __init__(
        self, address: Address, *, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None, name: str = "localhost"
    ) -> None:
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET)
        self.sock.settimeout(PATIENCE_S)
        if not isinstance(address, Path):
            self.sock.bind((source, 0))
        self.sock.connect(str(address) if isinstance(address, Path) else address)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name)

    def __enter__(self) -> "RawPeer":
        """Return itself; closed with the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.sock.close()

    def send(self, content: bytes) -> "RawPeer":
        """Send as much as the server takes."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(content)
        return self

    def end(self) -> "RawPeer":
        """Say that nothing follows, and go on reading."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        return self

    def rest(self) -> bytes:
        """Return all that comes until the server closes."""
        received = bytearray()
        with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
            while part := self.sock.recv(1 << 16):
                received += part
        return bytes(received)

    def reply(self) -> tuple[int, bytes]:
        """Return the status and body of the next reply; status 0 if the server closes instead."""
        head = b""
        with contextlib.suppress(ConnectionResetError):
            while not head.endswith(b"\r\n\r\n"):
                part = self.sock.recv(1)
                if not part:
                    break
                head += part
        if not head.endswith(b"\r\n\r\n"):
            return 0, b""
        lines = head.split(b"\r\n")
        (length,) = [int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")] or [0]
        body = b""
        while len(body) < length:
            body += self.sock.recv(length - len(body))
        return int(lines[0].split()[1]), body

    def ask(self, method: str, path: str, body: bytes = b"", *headers: str) -> tuple[int, bytes]:
        """Send a request and return its reply."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
        return self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body).reply()


def statuses(received: bytes) -> list[int]:
    """Return the statuses of all replies in what has come back."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
