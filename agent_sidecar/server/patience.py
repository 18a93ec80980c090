"""What a connection waits for, and for how long."""

from enum import Enum

from agent_sidecar.access.limits import Limits

TICK_S = 1.0
DRAINING_S = 2.0
"""How long what a peer still sends after a refusal is read, so that the refusal reaches it."""


class Phase(Enum):
    """What a connection waits for; each has its own patience."""

    OPENING = "opening"  # nobody has proved anything yet
    IDLE = "idle"
    HEADERS = "headers"
    BODY = "body"
    ANSWERING = "answering"
    DRAINING = "draining"


OPENING, IDLE, HEADERS, BODY, ANSWERING, DRAINING = Phase
"""Names of their own: a connection looks at them some ten times a request, and in the class each look takes 0.06 µs."""


def patience_ticks(limits: Limits) -> dict[Phase, float]:
    """Return the ticks a connection may stay in a phase. An answer under way is bounded by its handler."""
    seconds = {
        Phase.OPENING: limits.header_time_s,
        Phase.IDLE: limits.idle_s,
        Phase.HEADERS: limits.header_time_s,
        Phase.BODY: limits.body_time_s,
        Phase.DRAINING: DRAINING_S,
    }
    return {phase: patience_s / TICK_S for phase, patience_s in seconds.items()}
