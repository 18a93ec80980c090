"""Work aside gives way now and then: often enough for requests, not so often that it never ends."""

import time

import pytest

from agent_sidecar import giving_way
from agent_sidecar.giving_way import SPARED_S, WORKED_S, GivingWay


def test_many_short_steps_give_way_seldom():
    give_way, steps, began = GivingWay(), 20_000, time.perf_counter()

    for _ in range(steps):
        give_way()

    assert time.perf_counter() - began < steps * SPARED_S / 4


def test_each_long_step_gives_way():
    give_way, steps = GivingWay(), 10

    waited = 0.0
    for _ in range(steps):
        time.sleep(WORKED_S)
        began = time.perf_counter()
        give_way()
        waited += time.perf_counter() - began

    assert waited >= steps * SPARED_S


def test_work_that_takes_long_gives_way_more_seldom(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(giving_way, "PATIENT_S", 0.0)
    give_way, given = GivingWay(), []
    sleep = time.sleep
    give_way()
    monkeypatch.setattr(time, "sleep", given.append)

    for _ in range(20):
        sleep(WORKED_S)
        give_way()

    assert 1 <= len(given) <= 20 / 2
