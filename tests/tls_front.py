"""TLS on loopback: a certificate that vouches for itself, and what ends TLS in front of a Unix socket."""

import asyncio
import contextlib
import datetime
import ipaddress
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CHUNK_BYTES = 1 << 16
START_TIMEOUT_S = 10


def certificate(folder: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    made = made.add_extension(address, critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return path


@contextmanager
def ending_tls(listener: socket.socket, pem: Path, behind: Path) -> Iterator[None]:
    """Hand on what comes to `listener` in TLS to the Unix socket `behind`, and back until that one closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    started: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    async def run() -> None:
        ended = asyncio.Event()
        underway: set[asyncio.Task[None]] = set()

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_exchange(reader, writer, behind))
            underway.add(task)

        async with await asyncio.start_server(connect, sock=listener, ssl=context):
            started.put(partial(asyncio.get_running_loop().call_soon_threadsafe, ended.set))
            await ended.wait()
            await asyncio.gather(*underway)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    end = started.get(timeout=START_TIMEOUT_S)
    try:
        yield
    finally:
        end()
        thread.join()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: Path) -> None:
    back_reader, back_writer = await asyncio.open_unix_connection(str(behind))
    there = asyncio.create_task(_hand_on(reader, back_writer))
    await _hand_on(back_reader, writer)
    there.cancel()
    for each in (back_writer, writer):
        each.close()
        with contextlib.suppress(OSError):
            await each.wait_closed()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # one of the two is gone
        while part := await reader.read(CHUNK_BYTES):
            writer.write(part)
