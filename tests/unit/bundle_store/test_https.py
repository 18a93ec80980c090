"""The read-only store against a real TLS server on loopback."""

import contextlib
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from trickling import trickling

from bundle_store.https import HttpsStore
from bundle_store.opening import open_reader
from bundle_store.port import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    Store,
    StoreDeniedError,
    StoredObject,
    StoreUnavailableError,
)

NAME = "metadata/timestamp.json"


@dataclass
class Server:
    """Answers every GET with `status`, `headers` and `body`."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"one"
    connections: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(pem))
    return path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def do_GET(self) -> None:
            server.asked.append((self.path, self.headers.get("If-None-Match", "")))
            status, body = server.status, server.body  # once: a client that has the headers may go on and change them
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(body))} | server.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if status == 304 else body)

        def log_message(self, *_: object) -> None:
            pass

    class QuietServer(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not trust us hangs up; that is what is tested."""

    pem = certificate(tmp_path)
    listening = QuietServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    server.url = f"https://127.0.0.1:{listening.server_port}/policies"
    yield server
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def store(server: Server) -> Store:
    return open_reader(server.url)


def test_an_object_is_read_below_the_address(server: Server, store: Store) -> None:
    server.headers = {"ETag": '"1"'}

    assert store.get(NAME, max_bytes=3) == StoredObject(b"one", '"1"')
    assert server.asked == [("/policies/metadata/timestamp.json", "")]


def test_an_unchanged_object_is_asked_for_conditionally(server: Server, store: Store) -> None:
    server.status, server.body = 304, b""

    assert store.get(NAME, max_bytes=3, unless_etag='"1"') is None
    assert server.asked[0][1] == '"1"'


def test_one_connection_serves_all_requests(server: Server, store: Store) -> None:
    for status in (200, 304, 404, 200):
        server.status = status
        with contextlib.suppress(ObjectNotFoundError):
            store.get(NAME, max_bytes=3, unless_etag='"x"')

    assert server.connections == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, ObjectNotFoundError),
        (403, StoreDeniedError),
        (401, StoreDeniedError),
        (500, StoreUnavailableError),
        (503, StoreUnavailableError),
        (429, StoreUnavailableError),
    ],
)
def test_a_status_becomes_an_error_of_its_kind(
    server: Server, store: Store, status: int, error: type[Exception]
) -> None:
    server.status = status

    with pytest.raises(error):
        store.get(NAME, max_bytes=100)


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x", "https://127.0.0.1:1/x", "file:///etc/passwd"])
def test_a_redirect_is_refused(server: Server, store: Store, location: str) -> None:
    server.status, server.headers = 302, {"Location": location}

    with pytest.raises(StoreDeniedError, match="302") as raised:
        store.get(NAME, max_bytes=100)
    assert "final address" in raised.value.hint


def test_a_longer_object_is_not_read_to_its_end(server: Server, store: Store) -> None:
    server.body = b"x" * 1_000_000

    with pytest.raises(ObjectTooLargeError):
        store.get(NAME, max_bytes=10)


def test_an_answer_that_is_cut_off_is_unavailable(server: Server, store: Store) -> None:
    server.headers = {"Content-Length": "10", "Connection": "close"}

    with pytest.raises(StoreUnavailableError):
        store.get(NAME, max_bytes=100)


def test_compression_on_the_way_is_not_undone(server: Server, store: Store) -> None:
    """Digests are of stored bytes; a server that labels a bundle as encoded must not change it."""
    server.headers = {"Content-Encoding": "gzip"}

    assert store.get(NAME, max_bytes=10) == StoredObject(b"one", "")


def test_a_certificate_nobody_vouches_for_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path / "other")))

    with pytest.raises(StoreUnavailableError, match="certificate"):
        open_reader(server.url).get(NAME, max_bytes=10)
    assert server.asked == []


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError, match=r"^https://127\.0\.0\.1:9/x: "):
        open_reader("https://127.0.0.1:9/x").get(NAME, max_bytes=10)


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (b"", "timed out"),
        (b"HTTP/1.1 200 OK\r\nX-Endless: ", "timed out"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", "too slow"),
    ],
    ids=["status line", "headers", "body"],
)
def test_an_answer_that_trickles_is_given_up(begin: bytes, message: str) -> None:
    with trickling(begin) as address:
        store = HttpsStore(address, patience_s=0.1)

        with pytest.raises(StoreUnavailableError, match=message):
            store.get(NAME, max_bytes=9999)
