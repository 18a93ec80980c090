"""How many examples a property is tried on: few in every run, many in the nightly profile (``make nightly``)."""

import os

PROFILE = os.environ.get("WRIT_TEST_PROFILE", "normal")


def examples(normal: int, *, nightly: int) -> int:
    """Return the number of examples for the profile that is asked for."""
    return {"normal": normal, "nightly": nightly}[PROFILE]
