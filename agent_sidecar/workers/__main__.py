"""``python -m agent_sidecar.workers DESCRIPTOR``: a worker, started by its primary and by nobody else."""

import asyncio
import os
import signal
import sys

import uvloop

from agent_sidecar import logs
from agent_sidecar.workers.worker import work

if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the primary reloads, and says what has changed
    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(int(sys.argv[1])))
        sys.stderr.flush()
        os._exit(0)  # what is loaded goes with the process; freeing it would be wasted work
