"""Why a log is not believed: one error, which says where."""

from policy_core.errors import TrustError


class LogError(TrustError):
    """A segment, an enrolment or a sequence of segments is not what a host wrote.

    `name` is the file or object; `line` counts from 1 (0: it as a whole).
    """

    default_hint = "somebody changed it, or it was cut or damaged on the way; what comes before this place still holds"

    def __init__(self, name: str, what: str, *, line: int = 0, hint: str | None = None) -> None:
        super().__init__(f"{name}:{line}: {what}" if line else f"{name}: {what}", hint=hint)
        self.name = name
        self.line = line
        self.what = what
