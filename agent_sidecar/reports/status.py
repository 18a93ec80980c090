"""How it goes with telling the fleet: part of the status document."""

import msgspec


class ReportsStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where this host reports to, whether its key is enrolled there, and what is wrong.

    `reported_at` is host time ("": never) of the last of so many `reports` since the start.
    """

    to: str
    enrolled: bool = False
    reported_at: str = ""
    reports: int = 0
    problem: str = ""
