"""The same commit gives the same bundle, wherever it is cloned and whatever Python builds it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.compiling import bundle_of, compile_tree
from builder.source import PolicyTree
from policy_core.bundle.archive import decompress

GOLDEN = {
    "writ.yaml": b"name: golden\nstore: file:///nowhere\nchannels: [prod]\n",
    "policies/a.yaml": (
        b"version: v1\nrules:\n"
        b"  - {id: read, match: {topics: ['job.*.read'], labels: {b: x, a: y}}, decision: allow}\n"
        b"  - {id: cap, when: 'context.n < data.limits.n', decision: constrain, constraints: {max_targets: 3.0}}\n"
    ),
    "data/limits.yaml": b"n: 3\n",
}
STATEFUL = {
    **GOLDEN,
    "writ.yaml": GOLDEN["writ.yaml"]
    + b"approvers:\n"
    + b"  bo: {key: '%s', teams: [b, a], subjects: [y, x]}\n" % (b"b2" * 32)
    + b"  ana: {key: '%s', teams: [a], subjects: [x]}\n" % (b"a1" * 32),
    "policies/b.yaml": (
        b"version: v1\nrules:\n"
        b"  - {id: rate, decision: throttle, rate: {limit: 3, window: 1h, key: [resource.id, subject.id]}}\n"
        b"  - {id: ask, decision: require_approval, approval: {from: {b: 1, a: 1}, expires_in: 1d}}\n"
    ),
    "classify/c.yaml": (
        b"version: v1\nclassify:\n"
        b"  - {id: d, match: {actions: ['db.*']}, risk_tags: [z, y], require_facts: [context.b, context.a]}\n"
    ),
    "exceptions/e.yaml": (
        b"version: v1\nid: e\nrules: [b/rate]\nscope: {match: {labels: {b: x, a: y}}}\ncategory: waiver\n"
        b"justification: why\nrequested_by: cy\napproved_by: [bo]\nticket: T\ncreated: 2026-01-01\n"
        b"expires: 2026-01-02\n"
    ),
}
STATEFUL_CONTENT_SHA256 = "32cdd060790b863fe2caef24eb2868526651581cc61cb84882f82899f6d78008"
GOLDEN_CONTENT_SHA256 = "b7696d078e517f9c9082e855653c4f8fbcf9923162af7873c6925dca9305beb4"


@pytest.mark.parametrize(("files", "expected"), [(GOLDEN, GOLDEN_CONTENT_SHA256), (STATEFUL, STATEFUL_CONTENT_SHA256)])
def test_the_content_digest_is_the_recorded_one(files: dict[str, bytes], expected: str):
    """Every Python in the test matrix must come to this value; a change of it is a change of the format."""
    blob, bundle = bundle_of(compile_tree(PolicyTree("0" * 40, False, files), today=None))

    assert bundle.content_sha256 == hashlib.sha256(decompress(blob)).hexdigest() == expected


def test_two_clones_in_different_folders_give_the_same_file(tmp_path: Path):
    origin = tmp_path / "origin"
    subprocess.run(
        [sys.executable, "-m", "builder", "init", origin, "--name", "shop", "--store", "file:///s"], check=True
    )
    digests = set()
    for folder, hash_seed in ((tmp_path / "one", "1"), (tmp_path / "a" / "much" / "deeper" / "two", "2")):
        subprocess.run(["git", "clone", "--quiet", origin, folder], check=True)
        output = folder.parent / f"{folder.name}.tar.gz"
        subprocess.run(
            [sys.executable, "-m", "builder", "-C", folder, "build", "-o", output],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": "Pacific/Apia"},
        )
        digests.add(hashlib.sha256(output.read_bytes()).hexdigest())

    assert len(digests) == 1
