"""Searches while policies change: each page is of one policy, whole, and no other answer is an error."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sidecar_bench import Bench, Process, new_bench
from signed_store import bundle, rules

from policy_core.errors import KnownError

PEOPLE = 2_000
RELEASES = 5
SEARCH: dict[str, Any] = {
    "subject": {"type": "user"},
    "action": {"name": "act.0"},
    "resource": {"type": "t", "id": "i"},
}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("WRIT_SIDECAR_AUTHZEN_SEARCH", "true")
    with new_bench() as made:
        yield made


def publish(bench: Bench, number: int) -> None:
    """Publish a policy that allows everybody, of whom there are others in each release."""
    people = {f"r{number}-{each:05}": {"release": number} for each in range(PEOPLE)}
    data = {"directory": {"subjects": {"user": people}}}
    bench.store.publish(bundle(rules("allow"), number=number, **{"data.json": json.dumps(data).encode()}))


class Searcher(threading.Thread):
    """Asks for page after page; begins anew where a policy has ended, and after the last page."""

    def __init__(self, sidecar: Process) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.pages: list[Any] = []
        self.refusals: list[KnownError] = []
        self._sidecar = sidecar

    def run(self) -> None:
        token = ""
        while not self.ended.is_set():
            body = json.dumps({**SEARCH, "page": {"limit": 1000, "token": token}}).encode()
            try:
                self.pages.append(self._sidecar.ask("POST", "/access/v1/search/subject", body))
                token = self.pages[-1]["page"]["next_token"]
            except KnownError as error:
                self.refusals.append(error)
                token = ""


@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_no_page_mixes_policies_and_none_is_lost_to_a_swap(bench: Bench, more: tuple[str, ...]) -> None:
    publish(bench, 1)
    sidecar = bench.start(*more).wait_for(1)
    searchers = [Searcher(sidecar), Searcher(sidecar)]
    for each in searchers:
        each.start()
    for number in range(2, RELEASES + 1):
        publish(bench, number)
        sidecar.wait_for(number)
    for each in searchers:
        each.ended.set()
        each.join()

    for searcher in searchers:
        assert all("begin without one" in refusal.message for refusal in searcher.refusals)
        assert len({page["context"]["policy"]["release"] for page in searcher.pages}) > 1
        for page in searcher.pages:
            release = page["context"]["policy"]["release"]
            assert page["page"]["count"] == len(page["results"])
            for found in page["results"]:
                assert found["id"].startswith(f"r{release}-")
                assert found["properties"] == {"release": release}
    assert not [event for event in sidecar.events() if event.get("traceback")]
