"""What primary and workers say to each other, over a socket pair that nobody else has.

The primary says what to load, what is in force, and how things are; it decides what takes the memory of the host. A
worker says that it has done what a numbered order told it, or why it could not, and once a tick that it lives.
"""

import msgspec

from agent_sidecar.status import Status
from agent_sidecar.tally import Tally
from policy_core.decision import Answer
from policy_core.trust.release import Release


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: its configuration (pickled: it comes from the process that started it), and the
    descriptors of the listening sockets, by the service behind them.
    """

    configuration: bytes
    sockets: dict[str, int]
    switch_interval_s: float


class Load(msgspec.Struct, frozen=True, tag=True):
    """Order: load a policy, to have it when it is to be enforced."""

    number: int
    release: Release


class Enforce(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Order: answer from a policy under emergency entries until host time `deny_after`, or from none for a `reason`.

    `keep` are the policies to have loaded from then on, beside it.
    """

    number: int
    release: Release | None
    reason: str = ""
    entries: tuple[dict[str, str], ...] = ()
    deny_after: float
    keep: tuple[Release, ...] = ()


class Open(msgspec.Struct, frozen=True, tag=True):
    """Order: accept connections."""


class Told(msgspec.Struct, frozen=True, tag=True):
    """How the sidecar is as a whole, and that its primary lives: once a tick."""

    status: Status
    metrics: bytes
    host_time: float


class Adjust(msgspec.Struct, frozen=True, tag=True):
    """Order: a setting that may change at run time has, to a value that is pickled."""

    name: str
    value: bytes


class Decided(msgspec.Struct, frozen=True, tag=True):
    """The answer to a `Decide`; None if there is none, as it took too long."""

    number: int
    answer: Answer | None


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Order: accept no more, finish what is under way, and end."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """An order has been carried out; `problem` says why not, if not."""

    number: int
    problem: str = ""


class Decide(msgspec.Struct, frozen=True, tag=True):
    """Decide a request that takes the memory of the host: in JSON, whose numbers have no bounds."""

    number: int
    request: bytes
    decision_id: str
    is_trial: bool


class Counts(msgspec.Struct, frozen=True, tag=True):
    """What a worker has done since it began, and that it lives: once a tick.

    Of its decisions `unlogged` were deny because of the log, and the policy wants no record of `left_out`.
    """

    decisions: int = 0
    requests: int = 0
    connections: int = 0
    cut: int = 0
    refused: int = 0
    turned_away: int = 0
    spans_exported: int = 0
    spans_dropped: int = 0
    unlogged: int = 0
    left_out: int = 0
    log_problem: str = ""
    tally: Tally = msgspec.field(default_factory=Tally)


ToWorker = Begin | Load | Enforce | Open | Told | Adjust | Decided | Drain
ToPrimary = Done | Decide | Counts
