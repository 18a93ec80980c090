"""The same commit gives the same bundle, wherever it is cloned and whatever Python builds it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

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
GOLDEN_CONTENT_SHA256 = "b7696d078e517f9c9082e855653c4f8fbcf9923162af7873c6925dca9305beb4"


def test_the_content_digest_is_the_recorded_one():
    """Every Python in the test matrix must come to this value; a change of it is a change of the format."""
    blob, bundle = bundle_of(compile_tree(PolicyTree("0" * 40, False, GOLDEN), today=None))

    assert bundle.content_sha256 == hashlib.sha256(decompress(blob)).hexdigest() == GOLDEN_CONTENT_SHA256


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
