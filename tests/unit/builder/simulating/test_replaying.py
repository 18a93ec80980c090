"""A replay says what deciding every line says, and gathers it by rule."""

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from builder.simulating.corpus import DEFAULT_NOW, Corpus
from builder.simulating.flips import Kind, kind_of
from builder.simulating.replaying import Side, load_side, simulate
from builder.source import PolicyTree
from policy_core.request import normalise

SETTINGS = b"name: a\nstore: s3://bucket\nchannels: [prod]\n"
VERBS = ("read", "write", "stop", "drop")
DECISIONS = (
    "decision: allow",
    "decision: deny",
    "decision: require_approval",
    "decision: allow_with_constraints\n    constraints: {max_rows: 1}",
    "decision: allow_with_constraints\n    constraints: {max_rows: 2, max_files: 1}",
)


def side(decisions: dict[str, str]) -> Side:
    rules = "".join(
        f"  - id: {verb}\n    match: {{actions: [service.{verb}]}}\n    {decision}\n"
        for verb, decision in decisions.items()
    )
    files = {"writ.yaml": SETTINGS, "policies/a.yaml": f"version: v1\nrules:\n{rules}".encode()}
    return load_side("side", PolicyTree("0" * 40, False, files))


def corpus(requests: list[tuple[str, str]]) -> Corpus:
    lines = [json.dumps({"job": {"topic": f"service.{verb}", "job_id": number}}) for verb, number in requests]
    half = len(lines) // 2
    files = {
        f"corpus/{name}.jsonl": "\n".join(part).encode() for name, part in (("a", lines[:half]), ("b", lines[half:]))
    }
    return Corpus(PolicyTree("0" * 40, False, files))


POLICIES = st.dictionaries(st.sampled_from(VERBS), st.sampled_from(DECISIONS), min_size=1)
REQUESTS = st.lists(st.tuples(st.sampled_from(VERBS), st.sampled_from("12")), max_size=30)


@given(POLICIES, POLICIES, REQUESTS)
def test_a_replay_counts_what_deciding_every_line_counts(
    before: dict[str, str], after: dict[str, str], requests: list[tuple[str, str]]
) -> None:
    old, new = side(before), side(after)

    found = simulate(corpus(requests), old, new)

    expected: Counter[Kind] = Counter()
    for verb, number in requests:
        raw = {"job": {"topic": f"service.{verb}", "job_id": number}}
        request = normalise(raw, now=DEFAULT_NOW, host={})
        kind = kind_of(old.matcher.decide(request), new.matcher.decide(request))
        if kind is not None:
            expected[kind] += 1
    assert {kind: found.count(kind) for kind in Kind if found.count(kind)} == dict(expected)
    assert (found.total, found.distinct) == (len(requests), len(set(requests)))
    assert found.count() == expected.total() == sum(flip.count for group in found.groups for flip in group.flips)


def test_widened_groups_come_first_and_large_ones_before_small_ones() -> None:
    allow, deny = DECISIONS[:2]
    before = side({"read": allow, "write": deny, "stop": deny})
    after = side({"read": deny, "write": allow, "stop": allow})

    found = simulate(corpus([("read", "1")] * 9 + [("write", "1")] + [("stop", "1"), ("stop", "2")]), before, after)

    assert [(group.step.kind, group.step.after_rule, group.count) for group in found.groups] == [
        (Kind.WIDENED, "a/stop", 2),
        (Kind.WIDENED, "a/write", 1),
        (Kind.NARROWED, "a/read", 9),
    ]


def test_an_empty_corpus_flips_nothing() -> None:
    found = simulate(corpus([]), side({"read": DECISIONS[0]}), side({"read": DECISIONS[1]}))

    assert (found.total, found.count(), found.flips_percent) == (0, 0, 0.0)
