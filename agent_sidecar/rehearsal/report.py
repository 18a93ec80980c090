"""What a rehearsal says, and how it ends if it cannot."""

import msgspec

NO_MEMORY = 75
"""Exit code of a child that was refused memory."""
ORPHANED = 76
"""Exit code of a child whose parent has ended."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a child says: how much memory loading took at its peak and how long, or why the bundle is refused."""

    peak_bytes: int = 0
    seconds: float = 0.0
    refused: str = ""
    hint: str = ""
