"""Run ``writ`` and send a real signal to itself at one change of the store: for tests of what a crash leaves behind.

``python dying_writ.py SIGNAL before|after NUMBER STORE ARGUMENT…``: just before, or just after, the file number NUMBER
below the folder STORE appears under its final name.
"""

import os
import signal
import sys

from builder.cli.main import main

# What a shell starts in the background ignores SIGINT, and so would we.
signal.signal(signal.SIGINT, signal.default_int_handler)

name, moment, number, folder, *arguments = sys.argv[1:]
seen = 0


def watch(event: str, values: tuple[object, ...]) -> None:
    global seen  # noqa: PLW0603  an audit hook has no other place
    if event == "os.rename" and str(values[1]).startswith(folder):
        seen += 1
        if moment == "before" and seen == int(number):
            os.kill(os.getpid(), signal.Signals[name])
    elif moment == "after" and event == "open" and seen == int(number):
        seen += 1000  # once
        os.kill(os.getpid(), signal.Signals[name])


sys.addaudithook(watch)
sys.exit(main(arguments))
