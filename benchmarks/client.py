"""The Python client beside a real sidecar: deciding in process, asking over its socket, and what a swap costs callers.

The two forms are measured in one run with the same requests; all of them are answered by the policy alone.
"""

import asyncio
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_sidecar.client import Answer, Policy
from benchmarks.measuring import each_us, percentile, table
from benchmarks.sidecar import World, s3_or_file
from benchmarks.workload import documents, requests

SIZES = (20, 10_000)
CALLS = 5_000
PATIENCE_S = 30.0


def run() -> None:
    """Print what a decision costs its caller, and the worst of them while the policy is replaced."""
    costs, swaps = [], []
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="writ-bench-") as folder, s3_or_file("file", Path(folder)) as world:
            world.environment["WRIT_SIDECAR_IN_PROCESS"] = "true"
            world.commit(documents(size))
            world.writ("keys", "init", "--dev")
            world.writ("publish")
            with world.sidecar(), Policy(state_dir=world.folder / "state", socket=world.folder / "d.sock") as policy:
                memory = _memory_mib()
                loading_s = _until_in_process(policy)
                memory = _memory_mib() - memory
                asked = _answered_in_process(policy, requests(size, CALLS))
                with Policy(socket=world.folder / "d.sock") as asking:
                    costs += [_cost(size, "in process", policy.decide, asked)]
                    costs += [_cost(size, "over the socket", asking.decide, asked)]
                    costs += [_cost_async(size, "in process, async", policy, asked)]
                    costs += [_cost_async(size, "over the socket, async", asking, asked)]
                swaps += [(f"{size:,}", loading_s, memory, *_swap(world, policy, asked))]
    table("A decision in Python (µs)", ("rules", "how", "requests", "p50", "p99", "max"), costs)
    table(
        "A client while its policy is replaced",
        ("rules", "first loaded s", "memory MiB", "requests", "p99 ms", "max ms", "answered in process %"),
        swaps,
    )


def _until_in_process(policy: Policy) -> float:
    started = time.monotonic()
    while not policy.in_process:
        if time.monotonic() > started + PATIENCE_S:
            raise SystemExit(f"not in process: {policy.problem}")
        time.sleep(0.001)
    return time.monotonic() - started


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _answered_in_process(policy: Policy, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the requests that are: the others would blur the comparison."""
    return [each for each in asked if policy.decide(each).approval is None]


def _cost(size: int, how: str, decide: Callable[[Any], Answer], asked: list[dict[str, Any]]) -> tuple[object, ...]:
    return _row(size, how, each_us(decide, asked))


def _cost_async(size: int, how: str, policy: Policy, asked: list[dict[str, Any]]) -> tuple[object, ...]:
    async def all_of_them() -> list[float]:
        times = []
        for request in asked:
            started = time.perf_counter_ns()
            await policy.decide_async(request)
            times.append((time.perf_counter_ns() - started) / 1e3)
        return sorted(times)

    return _row(size, how, asyncio.run(all_of_them()))


def _row(size: int, how: str, times: list[float]) -> tuple[object, ...]:
    return (f"{size:,}", how, f"{len(times):,}", percentile(times, 0.5), percentile(times, 0.99), times[-1])


def _swap(world: World, policy: Policy, asked: list[dict[str, Any]]) -> tuple[object, ...]:
    """Publish another policy, and ask without pause until it has answered in process for a while."""
    world.commit({"policies/x.yaml": b"version: v1\nrules:\n  - {id: x, decision: deny, match: {topics: [x]}}\n"})
    world.writ("publish")
    before = policy.decide(asked[0]).policy
    times, inside, seen_s = [], 0, 0.0
    end = time.monotonic() + PATIENCE_S
    while seen_s == 0.0 or time.monotonic() < seen_s + 1.0:
        if time.monotonic() > end:
            raise SystemExit("the swap did not come")
        for request in asked[:100]:
            started = time.perf_counter_ns()
            answer = policy.decide(request)
            times.append((time.perf_counter_ns() - started) / 1e6)
        inside += 100 * policy.in_process
        if not seen_s and answer.policy != before and policy.in_process:
            seen_s = time.monotonic()
    times.sort()
    return f"{len(times):,}", percentile(times, 0.99), times[-1], 100.0 * inside / len(times)
