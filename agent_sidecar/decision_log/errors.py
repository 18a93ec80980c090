"""What a spool refuses, and why."""

import contextlib
from collections.abc import Iterator

from agent_sidecar.durable import StateError


class SpoolError(StateError):
    """A record cannot be written: the spool is full, or the disk refuses. Nothing of it is in the log."""


class SpoolFullError(SpoolError):
    """There is no room, neither within the limit nor on the disk."""

    default_hint = "see why segments are not shipped, make room on the disk, or raise log.max_bytes"


def refused(error: OSError) -> SpoolError:
    """Return what a disk that refuses means for the log."""
    return SpoolError(f"decision log: cannot be written: {error.strerror}")


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Raise SpoolError for whatever the disk refuses within."""
    try:
        yield
    except OSError as error:
        raise refused(error) from error
