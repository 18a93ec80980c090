"""A signed store, and a host that polls it in this process."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from polled_host import Host
from signed_store import SignedStore


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """Give what a loaded policy has frozen back to the garbage collector, for the tests that follow."""
    yield
    gc.unfreeze()


@pytest.fixture
def store(tmp_path: Path) -> SignedStore:
    return SignedStore(tmp_path / "store")


@pytest.fixture
def new_host(tmp_path: Path, store: SignedStore) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(name: str = "state", **settings: Any) -> Host:
        made.append(Host(tmp_path / name, store, **settings))
        return made[-1]

    yield make
    for host in made:
        host.stop()


@pytest.fixture
def host(new_host: Callable[..., Host]) -> Host:
    return new_host().start()
