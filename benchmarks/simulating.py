"""Replay of a corpus on two revisions, beside a loop that decides every line, and beside cedarpy.

Everything from the bytes of the corpus to the flips is timed, in seconds of one core. All must find the same flips.
"""

import gc
import json
import random
import time
from collections.abc import Callable
from typing import Any

import cedarpy

from benchmarks.measuring import table
from benchmarks.workload import cedar_policies, cedar_request, documents, requests
from builder.cli.main import YOUNG_OBJECTS
from builder.compiling import compile_tree
from builder.simulating.corpus import DEFAULT_NOW, Corpus
from builder.simulating.replaying import Side, load_side, simulate
from builder.source import PolicyTree
from policy_core.request import normalise

RULES = 1_000
LINES = 200_000
DISTINCT = (5_000, 50_000, 200_000)
PEER_LINES = 1_000
ROUNDS = 3  # the best counts


def run() -> None:
    """Print how many lines per second each gets through, for a corpus that repeats itself more and less."""
    gc.set_threshold(YOUNG_OBJECTS)  # as `writ` itself does
    files = documents(RULES)
    changed = {path: text.replace(b"decision: deny", b"decision: require_approval") for path, text in files.items()}
    before, after = (load_side(name, PolicyTree("0" * 40, False, tree)) for name, tree in
                     (("before", files), ("after", changed)))  # fmt: skip
    policies = [
        cedarpy.PolicySet.from_str(cedar_policies(list(compile_tree(side.tree, today=None).rules)))
        for side in (before, after)
    ]
    rows = []
    for distinct in DISTINCT:
        lines = _lines(distinct)
        ours, naive = _best(lambda: _replay(lines, before, after)), _best(lambda: _naive(lines, before, after))  # noqa: B023
        if ours[1] != naive[1]:
            raise SystemExit("the two do not find the same flips")
        peer = _best(lambda: _peer(lines[:PEER_LINES], policies), rounds=1)  # noqa: B023
        for name, (seconds, _), number in (
            ("Writ", ours, LINES),
            ("Writ's matcher, every line", naive, LINES),
            ("cedarpy, every line", peer, PEER_LINES),
        ):
            rate = number / seconds
            rows.append((f"{distinct:,}", name, f"{rate:,.0f}", LINES / ours[0] / rate))
    table(
        f"Simulation of {LINES:,} requests on two revisions of {RULES:,} rules",
        ("distinct", "engine", "requests/s", "Writ is faster by"),
        rows,
    )


def _lines(distinct: int) -> list[bytes]:
    """Return the lines of a corpus in which some requests are much more frequent than others."""
    draw = random.Random(2)
    pool = [json.dumps(request, separators=(",", ":")).encode() for request in requests(RULES, distinct)]
    rest = [pool[min(int(draw.paretovariate(0.5)) - 1, distinct - 1)] for _ in range(LINES - distinct)]
    lines = pool + rest
    draw.shuffle(lines)
    return lines


def _best(call: Callable[[], int], *, rounds: int = ROUNDS) -> tuple[float, int]:
    """Return the shortest time in seconds, and what was found."""
    times = []
    found = 0
    for _ in range(rounds):
        started = time.process_time()
        found = call()
        times.append(time.process_time() - started)
    return min(times), found


def _replay(lines: list[bytes], before: Side, after: Side) -> int:
    tree = PolicyTree("0" * 40, False, {"corpus/a.jsonl": b"\n".join(lines)})
    return simulate(Corpus(tree), before, after).count()


def _naive(lines: list[bytes], before: Side, after: Side) -> int:
    flips = 0
    for line in lines:
        request = normalise(json.loads(line), now=DEFAULT_NOW, host={})
        was, now = before.matcher.decide(request), after.matcher.decide(request)
        flips += (was.decision, was.constraints) != (now.decision, now.constraints)
    return flips


def _peer(lines: list[bytes], policies: list[Any]) -> int:
    """Ask for allow or deny only: Cedar has neither constraints nor approvals."""
    entities = cedarpy.Entities.from_json_str("[]")
    flips = 0
    for line in lines:
        request = cedar_request(json.loads(line))
        was, now = (cedarpy.is_authorized(request, policy, entities).allowed for policy in policies)
        flips += was != now
    return flips


if __name__ == "__main__":
    run()
