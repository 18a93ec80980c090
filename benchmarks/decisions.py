"""One complete answer in process, beside cedarpy with the same rules and requests.

Both get decoded requests and return decision and reasons. Before the peer is timed, both must agree on all it is asked.
"""

from typing import Any

import cedarpy

from benchmarks.measuring import each_us, percentile, table
from benchmarks.workload import cedar_policies, cedar_request, documents, requests
from builder.compiling import compile_tree
from builder.source import PolicyTree
from policy_core.decision import PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.request import normalise

SIZES = (1_000, 10_000, 100_000)
PEER_SIZES = (1_000, 10_000)
CALLS, PEER_CALLS = 20_000, 200
POLICY = PolicyRef(bundle="sha256:" + "0" * 64, revision="0" * 40, channel="prod", release=1)


def run() -> None:
    """Print p50 and p99 of both, and their ratio, for each number of rules."""
    rows = []
    for size in SIZES:
        compiled = compile_tree(PolicyTree("0" * 40, False, documents(size)), today=None)
        matcher = load(encode_rules(compiled.rules), policy=POLICY)
        raw = requests(size, CALLS)

        def answer(request: object, decide=matcher.decide) -> object:  # type: ignore[no-untyped-def]
            return decide(normalise(request, now=0.0, host={}), decision_id="d")

        first = each_us(answer, raw)  # every action name is new to the index, at least once
        again = each_us(answer, raw)
        ours = percentile(again, 0.5)
        rows.append((f"{size:,}", "Writ, first pass", percentile(first, 0.5), percentile(first, 0.99), ""))
        rows.append((f"{size:,}", "Writ", ours, percentile(again, 0.99), "1"))
        if size in PEER_SIZES:
            policies = cedarpy.PolicySet.from_str(cedar_policies(list(compiled.rules)))
            entities = cedarpy.Entities.from_json_str("[]")
            asked = [cedar_request(request) for request in raw[:PEER_CALLS]]

            def peer(request: Any, policies=policies, entities=entities) -> cedarpy.AuthzResult:  # type: ignore[no-untyped-def]
                return cedarpy.is_authorized(request, policies, entities)

            for request, theirs in zip(raw, asked, strict=False):
                if answer(request).allowed != peer(theirs).allowed:  # type: ignore[attr-defined]
                    raise SystemExit(f"the engines disagree: {request}")
            times = each_us(peer, asked)
            rows.append(
                (
                    f"{size:,}",
                    "cedarpy",
                    percentile(times, 0.5),
                    percentile(times, 0.99),
                    f"{percentile(times, 0.5) / ours:,.0f}",
                )
            )
    table("One complete answer in process (µs)", ("rules", "engine", "p50", "p99", "p50 / Writ"), rows)


if __name__ == "__main__":
    run()
