"""``python -m agent_sidecar.rehearsal MAX_BYTES MAX_CPU_S NICER_BY PARENT < BUNDLE``: load a bundle as a sidecar does.

It steps back behind requests as it is told, is the first that the kernel ends for lack of memory, bounds itself before
it reads a byte, and ends with its parent. What it says is JSON on standard output; whatever keeps it from saying it is
a failure.
"""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Generator
from pathlib import Path

import msgspec

from agent_sidecar.rehearsal.report import NO_MEMORY, ORPHANED, Report
from policy_core.bundle import MATCHER, SELFTEST, read_bundle
from policy_core.decision import PolicyRef
from policy_core.errors import InvalidError
from policy_core.matcher import Matcher, loading
from policy_core.selftest import run_selftest


def main(max_bytes: int, max_cpu_s: int, nicer_by: int, parent: int) -> Report:
    """Load what is on standard input, and return what that took or why it is refused. Raises MemoryError."""
    _step_back(nicer_by)
    _bound(max_bytes, max_cpu_s)
    before, began = _peak_bytes(), time.monotonic()
    try:
        bundle = read_bundle(sys.stdin.buffer.read())
        policy = PolicyRef(bundle=f"sha256:{bundle.sha256}", revision=bundle.revision)
        steps = loading(bundle.files[MATCHER], policy=policy, provisions=bundle.provisions)
        matcher = _last(steps, parent)
        for _ in run_selftest(matcher, bundle.files.get(SELFTEST, b"")):
            pass
    except InvalidError as error:
        return Report(refused=error.message, hint=error.hint)
    return Report(peak_bytes=_peak_bytes() - before, seconds=time.monotonic() - began)


def _last(steps: Generator[None, None, Matcher], parent: int) -> Matcher:
    """Return what is loaded in steps; nobody would hear of it without the parent, which a new one replaces."""
    while os.getppid() == parent:
        try:
            next(steps)
        except StopIteration as done:
            matcher: Matcher = done.value
            return matcher
    os._exit(ORPHANED)


def _step_back(nicer_by: int) -> None:
    """Leave processors to whoever wants them, and offer this process first where memory runs out."""
    with contextlib.suppress(OSError):  # forbidden to it: then it competes
        os.nice(nicer_by)
    with contextlib.suppress(OSError):  # a kernel that does not know this ends another process, or none
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _bound(max_bytes: int, max_cpu_s: int) -> None:
    """Take at most `max_bytes` (0: any) beside what is taken already, and leave no picture of a policy on the disk."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, max_cpu_s, margin=1)  # told before it is ended, so that the ending says why
    if max_bytes:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + max_bytes)


def _lower(limit: int, wanted: int, *, margin: int = 0) -> None:
    _, hard = resource.getrlimit(limit)
    most = wanted + margin if hard == resource.RLIM_INFINITY else min(wanted + margin, hard)
    resource.setrlimit(limit, (min(wanted, most), most))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(msgspec.json.encode(main(*map(int, sys.argv[1:5]))))
        sys.stdout.flush()
    except MemoryError:
        os._exit(NO_MEMORY)  # to unwind takes memory too
    os._exit(0)  # what was loaded goes with the process; freeing it would be wasted work
