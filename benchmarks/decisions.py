"""One complete answer in process, beside cedarpy with the same rules and requests; and what the decision cache gives.

All get requests decoded just before and return decision and reasons. Before the peer is timed, both must agree on all
it is asked.
"""

import gc
from collections.abc import Callable
from typing import Any
from unittest import mock

import cedarpy
import msgspec

from benchmarks import pictures
from benchmarks.measuring import each_us, percentile, quietest, table
from benchmarks.workload import cedar_policies, cedar_request, conditional_rules, documents, requests, steady_request
from builder.compiling import compile_tree
from builder.source import PolicyTree
from policy_core.decision import Answer, PolicyRef
from policy_core.matcher import Matcher, encode_rules, load
from policy_core.matcher import matcher as matching
from policy_core.request import normalise

SIZES = (1_000, 10_000, 100_000)
PEER_SIZES = (1_000, 10_000)
CONDITIONS = (0, 4, 10, 100)
CALLS, PEER_CALLS = 20_000, 200
ROUNDS, PEER_ROUNDS = 7, 3  # the quietest counts, for all alike
_encode, _decode = msgspec.json.encode, msgspec.json.decode
POLICY = PolicyRef(bundle="sha256:" + "0" * 64, revision="0" * 40, channel="prod", release=1)


def run() -> None:
    """Print p50 and p99 for each number of rules, and for each number of conditions; draw the former."""
    _by_rules()
    _by_conditions()


def _by_rules() -> None:
    rows = []
    curve: dict[str, list[float]] = {"p50": [], "p99": []}
    for size in SIZES:
        compiled = compile_tree(PolicyTree("0" * 40, False, documents(size)), today=None)
        answer = _answering(load(encode_rules(compiled.rules), policy=POLICY))
        raw = requests(size, CALLS)
        bodies = [_encode(request) for request in raw]
        with _collector_as_in_a_sidecar():
            first = each_us(answer, bodies, prepare=_decode)  # each action name is new to the index, at least once
            again = quietest(lambda: each_us(answer, bodies, prepare=_decode), rounds=ROUNDS)  # noqa: B023 - at once
        ours = percentile(again, 0.5)
        curve["p50"].append(ours)
        curve["p99"].append(percentile(again, 0.99))
        rows.append((f"{size:,}", "Writ, first pass", percentile(first, 0.5), percentile(first, 0.99), ""))
        rows.append((f"{size:,}", "Writ", ours, percentile(again, 0.99), "1"))
        if size in PEER_SIZES:
            times = _peer_us(cedar_policies(list(compiled.rules)), raw[:PEER_CALLS], answer)
            theirs = percentile(times, 0.5)
            rows.append((f"{size:,}", "cedarpy", theirs, percentile(times, 0.99), f"{theirs / ours:,.0f}"))
    table("One complete answer in process (µs)", ("rules", "engine", "p50", "p99", "p50 / Writ"), rows)
    drawn = pictures.curves("One complete answer in process", x=("rules", SIZES), unit="µs", lines=curve)
    pictures.save("decisions.svg", drawn)


def _peer_us(policies: str, raw: list[dict[str, Any]], answer: Callable[[object], Answer]) -> list[float]:
    """Return the times of cedarpy. Ends the benchmark where it decides otherwise."""
    parsed = cedarpy.PolicySet.from_str(policies)
    entities = cedarpy.Entities.from_json_str("[]")
    asked = [cedar_request(request) for request in raw]

    def peer(request: Any) -> cedarpy.AuthzResult:
        return cedarpy.is_authorized(request, parsed, entities)

    for request, theirs in zip(raw, asked, strict=True):
        if answer(request).allowed != peer(theirs).allowed:
            raise SystemExit(f"the engines disagree: {request}")
    return quietest(lambda: each_us(peer, asked), rounds=PEER_ROUNDS)


def _by_conditions() -> None:
    """Time requests that meet so many conditions: without the cache, from it, and where none of them repeats."""
    rows = []
    for count in CONDITIONS:
        matcher = load(encode_rules(conditional_rules(count)), policy=POLICY)
        same = [_encode(steady_request(0))] * CALLS
        others = [_encode(steady_request(number)) for number in range(CALLS)]
        with _collector_as_in_a_sidecar():
            with mock.patch.object(matching, "FEW_RULES", count):
                without = [_each_us(matcher, asked) for asked in (same, others)]
            repeated, never = _each_us(matcher, same), _each_us(matcher, others)
        for kind, times, by in (
            ("repeats, no cache", without[0], ""),
            ("repeats", repeated, f"{percentile(without[0], 0.5) / percentile(repeated, 0.5):.1f}"),
            ("differs each time, no cache", without[1], ""),
            ("differs each time", never, f"{percentile(without[1], 0.5) / percentile(never, 0.5):.1f}"),
        ):
            rows.append((f"{count}", kind, percentile(times, 0.5), percentile(times, 0.99), by))
    table(
        "One complete answer, by the conditions a request meets (µs)",
        ("conditions", "request", "p50", "p99", "faster by"),
        rows,
    )


def _each_us(matcher: Matcher, bodies: list[bytes]) -> list[float]:
    """Return the times of the quietest round; each begins with an empty cache."""
    return quietest(lambda: each_us(_answering(matcher.naming(POLICY)), bodies, prepare=_decode), rounds=ROUNDS)


def _answering(matcher: Matcher) -> Callable[[object], Answer]:
    decide = matcher.decide
    return lambda request: decide(normalise(request, now=0.0, host={}), decision_id="d")


class _collector_as_in_a_sidecar:  # noqa: N801 - reads as a sentence
    """What is loaded is kept from the garbage collector, as an activation does."""

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()

    def __exit__(self, *_: object) -> None:
        gc.unfreeze()


if __name__ == "__main__":
    run()
