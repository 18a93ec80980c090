"""How long a swap holds the interpreter, so that a request waits for it: loading a policy, and freeing one.

A second thread sleeps for a moment, again and again: how late it wakes is how long it was kept from running. Both ask
for real-time priority, so that what else the machine does is not measured too; without it the figures are of both. Each
is the least of some rounds, as anything else can only add to it.
"""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from agent_sidecar.activation import Activation, prepare
from agent_sidecar.daemon import SWITCH_INTERVAL_S
from agent_sidecar.giving_way import GivingWay
from benchmarks.measuring import percentile, table
from benchmarks.workload import documents
from builder.compiling import bundle_of, compile_tree
from builder.source import PolicyTree
from policy_core.trust.release import Release

SIZES, ROUNDS = (10_000, 100_000), 4
NAP_S = 0.0002

Result = TypeVar("Result")


def run() -> None:
    """Print how late another thread ran at most."""
    priority = "real-time priority" if _ask_for_priority() else "beside whatever else runs"
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    rows = []
    for size in SIZES:
        blob, bundle = bundle_of(compile_tree(PolicyTree("0" * 40, False, documents(size)), today=None))
        release = Release(
            channel="prod", release=1, revision=bundle.revision, action="publish", reason="", actor="b",
            name=bundle.name, sha256=bundle.sha256, length=len(blob), content_sha256=bundle.content_sha256,
            policy_sha256=bundle.policy_sha256,
        )  # fmt: skip
        loading, freeing, idle = [], [], []
        for _ in range(ROUNDS):
            activation, late = _lateness(lambda: prepare(blob, release, host={}, now=0.0, pause=GivingWay()))  # noqa: B023
            loading.append(late)
            freeing.append(_lateness(lambda: _free(activation))[1])  # noqa: B023 - called at once
            idle.append(_lateness(lambda: time.sleep(0.5))[1])
        for what, rounds in (("load", loading), ("free", freeing), ("nothing", idle)):
            rows.append((f"{size:,}", what, *(min(values) for values in zip(*rounds, strict=True))))
    table(f"How late another thread runs (ms), {priority}", ("rules", "beside", "p99", "p99.9", "max"), rows)


def _ask_for_priority() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    return True


def _lateness(work: Callable[[], Result]) -> tuple[Result, tuple[float, float, float]]:
    """Return what work gives, and how late another thread ran meanwhile (ms): p99, p99.9, max."""
    late: list[float] = []
    is_over = threading.Event()

    def nap() -> None:
        while not is_over.is_set():
            began = time.perf_counter()
            time.sleep(NAP_S)
            late.append((time.perf_counter() - began - NAP_S) * 1e3)

    gc.collect()
    napping = threading.Thread(target=nap)
    napping.start()
    result = work()
    is_over.set()
    napping.join()
    late.sort()
    return result, (percentile(late, 0.99), percentile(late, 0.999), late[-1])


def _free(activation: Activation) -> None:
    give_way = GivingWay()
    for _ in activation.matcher.dismantle():
        give_way()


if __name__ == "__main__":
    run()
