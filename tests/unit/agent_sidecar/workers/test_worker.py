"""A worker carries out orders in their order; what takes long does not hold up what must not wait."""

import asyncio
import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from signed_store import SignedStore, bundle, rules

from agent_sidecar.workers import worker as workers
from agent_sidecar.workers.messages import Enforce, Load
from agent_sidecar.workers.worker import Worker


class SlowFollowing:
    """Loads only once it is told to."""

    def __init__(self) -> None:
        self.may_load = threading.Event()

    def load(self, _release: Any) -> None:
        assert self.may_load.wait(5)

    def enforce(self, order: Enforce) -> None:
        pass

    def let_go(self, _order: Enforce) -> list[Any]:
        return []

    def tidy(self, _order: Enforce, _gone: list[Any]) -> None:
        pass


def test_what_is_in_force_changes_while_another_policy_is_loaded(store: SignedStore) -> None:
    done, heard = [], threading.Semaphore(0)

    def hear(_send: Any, message: Any) -> None:
        done.append(message.number)
        heard.release()

    worker, following = Worker.__new__(Worker), SlowFollowing()
    worker._begin_threads()
    worker._following = following  # type: ignore[assignment]
    worker._channel = SimpleNamespace(send=None)  # type: ignore[assignment]
    worker._loop = SimpleNamespace(call_soon_threadsafe=hear)  # type: ignore[assignment]
    release = store.publish(bundle(rules("allow"), number=1))

    worker.take(Load(1, release))
    worker.take(Enforce(number=2, release=None, reason="rolled back", deny_after=math.inf))
    confirmed = heard.acquire(timeout=2)
    following.may_load.set()
    assert heard.acquire(timeout=5)

    assert confirmed
    assert done == [2, 1]


def test_a_file_of_credentials_that_cannot_be_read_in_time_silences_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "TICK_S", 0.001)
    read, counts = threading.Event(), []

    async def drain() -> int:
        return 0

    async def run() -> None:
        worker = Worker.__new__(Worker)
        worker.stop, worker._loop = asyncio.Event(), asyncio.get_running_loop()
        worker._silent_ticks, worker._spans = 0, None
        worker._serving = SimpleNamespace(sweep=lambda: None, drain=drain)  # type: ignore[assignment]
        worker._gatekeeper = SimpleNamespace(refresh=lambda: read.wait(5))  # type: ignore[assignment]
        worker._log = SimpleNamespace(end=lambda: None)  # type: ignore[assignment]
        worker._channel = SimpleNamespace(send=counts.append)  # type: ignore[assignment]
        monkeypatch.setattr(Worker, "_counts", lambda _, cut=0: cut)
        running = asyncio.create_task(worker.run())
        for _ in range(1_000):
            if len(counts) > 5:
                break
            await asyncio.sleep(0.001)
        assert not read.is_set()
        read.set()
        worker.stop.set()
        await running

    asyncio.run(run())
    assert len(counts) > 5
