"""Errors a user can act on; whatever else escapes is a bug (exit code 1).

The exit codes are a contract (docs/reference/exit-codes.md): 0 done or nothing to do, 1 bug, 2 usage, 3 policy or
bundle invalid, 4 policy tests or a gate failed, 5 trust failed, 6 remote unavailable, 7 conflict.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from policy_core.printable import printable


class KnownError(Exception):
    """Root of all expected errors; the message is one lower-case line, *where: what*.

    `problems` are the findings it is made of, where there are several; `details` are lines that are told before it.
    """

    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""
    problems: "tuple[Problem, ...]" = ()
    details: tuple[str, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint


class UsageError(KnownError):
    """The command, its arguments or its surroundings (no repository, bad request) need a change by the caller."""

    exit_code = 2


class InvalidError(KnownError):
    """A bundle, or a value bound for one, is not valid."""

    exit_code = 3


class GateError(KnownError):
    """Policy tests, or another gate before a publish, failed."""

    exit_code = 4


class TrustError(KnownError):
    """A signature, digest, version or expiry did not hold."""

    exit_code = 5


class RemoteError(KnownError):
    """The store could not be reached, or answered in a way that leaves the outcome unknown."""

    exit_code = 6


class ConflictError(KnownError):
    """Somebody else holds, or already changed, what this call wanted to change."""

    exit_code = 7


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding in an authored file; line and column count from 1 (0: the file as a whole).

    `code` names the class of finding, for those who filter and look things up.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    code: str = ""

    @property
    def where(self) -> str:
        """Return *file:line:column*, or just the file where no position is known."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class InvalidPolicyError(InvalidError):
    """Authored files have problems: all of them, sorted by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the policy repository")


def report(error: KnownError) -> list[str]:
    """Return the lines a command prints on stderr for an error: details, each problem, then ``error:`` and ``hint:``.

    What is told may be from whoever wrote a file or an object, so nothing in it is left that a terminal would obey.
    """
    lines = list(error.details)
    for problem in error.problems:
        lines.append(f"{problem.where}: {problem.message}" + (f" [{problem.code}]" if problem.code else ""))
        if problem.hint:
            lines.append(f"    hint: {problem.hint}")
    lines.append(f"error: {error.message}")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return [printable(line) for line in lines]
