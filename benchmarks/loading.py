"""Building and activating: from YAML to a bundle, and from a bundle to a matcher in slices, beside cedarpy's parser.

What a loaded matcher takes in memory is measured in a process of its own.
"""

import gc
import subprocess
import sys
import time

import cedarpy

from benchmarks.measuring import percentile, table
from benchmarks.workload import cedar_policies, documents
from builder.compiling import bundle_of, compile_tree
from builder.source import PolicyTree
from policy_core.bundle import MATCHER, read_bundle
from policy_core.decision import PolicyRef
from policy_core.matcher import encode_rules, loading

SIZES = (1_000, 10_000)
MEMORY_SIZES = (10_000, 100_000)
ROUNDS = 3
POLICY = PolicyRef(bundle="sha256:" + "0" * 64, revision="0" * 40)


def run() -> None:
    """Print the best of some rounds for building, verifying and loading, and the longest slice of loading."""
    rows = []
    for size in SIZES:
        for number in range(ROUNDS):
            fresh = {path: text + b"# round %d\n" % number for path, text in documents(size).items()}
            tree = PolicyTree("0" * 40, False, fresh)  # what was read before would not be read again
            started = time.perf_counter()
            compiled = compile_tree(tree, today=None)
            compile_s = time.perf_counter() - started
            blob, _ = bundle_of(compiled)
            build_s = time.perf_counter() - started
            started = time.perf_counter()
            bundle = read_bundle(blob)
            read_s = time.perf_counter() - started
            slices = _slices_ms(bundle.files[MATCHER])
            started = time.perf_counter()
            cedarpy.PolicySet.from_str(cedar_policies(list(compiled.rules)))
            cedar_s = time.perf_counter() - started
            rows.append(
                (
                    f"{size:,}", number + 1, compile_s, build_s, len(blob), read_s * 1e3, sum(slices),
                    percentile(slices, 0.99), slices[-1], cedar_s,
                )
            )  # fmt: skip
    table(
        "Build and activation",
        (
            "rules",
            "round",
            "compile s",
            "bundle s",
            "bytes",
            "verify ms",
            "load ms",
            "slice p99 ms",
            "slice max ms",
            "cedarpy parse s",
        ),
        rows,
    )
    memory = []
    for size in MEMORY_SIZES:
        compiled = compile_tree(PolicyTree("0" * 40, False, documents(size)), today=None)
        content = encode_rules(compiled.rules)
        grown = subprocess.run([sys.executable, "-c", _CHILD], input=content, capture_output=True, check=True).stdout
        memory.append((f"{size:,}", len(content) / 2**20, int(grown) / 2**20))
    table("Memory of a loaded matcher (MiB)", ("rules", "as it travels, unpacked", "resident"), memory)


# loads what comes on stdin as a sidecar does, and prints by how many bytes the process has grown
_CHILD = """
import gc, os, sys
from policy_core.decision import PolicyRef
from policy_core.matcher import load

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

content = sys.stdin.buffer.read()
gc.disable()
before = resident()
matcher = load(content, policy=PolicyRef(bundle="", revision=""))
gc.collect()
print(resident() - before)
"""


def _slices_ms(content: bytes) -> list[float]:
    """Load as a sidecar does, collector off, and return the CPU time of every slice in milliseconds, sorted."""
    gc.collect()
    gc.disable()
    steps = loading(content, policy=POLICY)
    times: list[float] = []
    try:
        while True:
            started = time.thread_time()
            try:
                next(steps)
            except StopIteration:
                return sorted(times)
            finally:
                times.append((time.thread_time() - started) * 1e3)
    finally:
        gc.enable()


if __name__ == "__main__":
    run()
