"""Work aside gives way now and then: often enough for requests, not so often that it never ends."""

import time

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
