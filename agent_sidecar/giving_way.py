"""How work aside gives way to requests, between steps of it."""

import time

WORKED_S = 0.0005
SPARED_S = 0.0002
"""Giving up the interpreter for no time at all would mean to ask for it again at once."""
PATIENT_S, HURRIED_S = 10.0, 0.005
"""Where no processor is to spare, each sleep takes as long as a turn of everybody else: work that goes on for longer
than the first gives way only after each of the second. Requests still wait no longer than for a switch of threads."""


class GivingWay:
    """Called after each step of one work; now and then it leaves the interpreter to others for a moment."""

    __slots__ = ("_hurries_at", "_since", "_worked_s")

    def __init__(self) -> None:
        self._since = 0.0
        self._worked_s = WORKED_S
        self._hurries_at = time.perf_counter() + PATIENT_S

    def __call__(self) -> None:
        """Give way, unless that was a moment ago."""
        if time.perf_counter() - self._since >= self._worked_s:
            time.sleep(SPARED_S)
            self._since = time.perf_counter()
            if self._since >= self._hurries_at:
                self._worked_s = HURRIED_S
