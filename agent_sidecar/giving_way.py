"""How work aside gives way to requests, between steps of it."""

import time

WORKED_S = 0.0005
SPARED_S = 0.0002
"""Giving up the interpreter for no time at all would mean to ask for it again at once."""


class GivingWay:
    """Called after each step; now and then it leaves the interpreter to others for a moment."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = 0.0

    def __call__(self) -> None:
        """Give way, unless that was a moment ago."""
        if time.perf_counter() - self._since >= WORKED_S:
            time.sleep(SPARED_S)
            self._since = time.perf_counter()
