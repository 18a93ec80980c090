"""What hands on connections from TCP on loopback to a Unix socket, for clients that know nothing but URLs."""

import asyncio
import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

CHUNK_BYTES = 1 << 16
START_TIMEOUT_S = 10


@contextmanager
def relaying(listener: socket.socket, behind: Path) -> Iterator[None]:
    """Hand on what comes to `listener` to the Unix socket `behind`, and back until that one closes."""
    started: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    async def run() -> None:
        ended = asyncio.Event()
        underway: set[asyncio.Task[None]] = set()

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_exchange(reader, writer, behind))
            underway.add(task)

        async with await asyncio.start_server(connect, sock=listener):
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
        writer.write_eof()
