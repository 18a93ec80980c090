"""Servers that tests start are gone when the tests are."""

import socket
from urllib.parse import urlsplit

import pytest
import s3_servers


@pytest.mark.parametrize("name", s3_servers.EMULATORS)
def test_nobody_listens_any_more_once_a_server_was_stopped(name: str) -> None:
    with s3_servers.EMULATORS[name]() as endpoint:
        address = (urlsplit(endpoint).hostname, urlsplit(endpoint).port)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
