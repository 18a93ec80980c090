"""What reading files gave, remembered for the next tree: most of its files will be the same.

In memory only, by everything the reading depends on, the bytes themselves included: a rebuild is faster, never
different. Nothing is kept on disk, where whoever could write to it could change what a policy says without a commit.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from builder.language.nodes import Report
from policy_core.errors import Problem

Result = TypeVar("Result")
MAX_REMEMBERED_BYTES = 64 * 2**20
"""Of the files whose results are kept, each by itself."""


@dataclass(frozen=True, slots=True)
class _Reading(Generic[Result]):
    result: Result
    problems: list[Problem]
    warnings: list[Problem]


@dataclass(slots=True)
class Remembered(Generic[Result]):
    """The results of one kind of reading; those asked for longest ago are forgotten first."""

    _readings: dict[tuple[str, bytes, Hashable], _Reading[Result]] = field(default_factory=dict)
    _bytes: int = 0

    def read(
        self, read: Callable[[bytes, Report], Result], content: bytes, report: Report, *, beside: Hashable
    ) -> Result:
        """Return what `read` gives for a file, as it did before if nothing changed; the report gets the same findings.

        `beside` is everything else the reading depends on.
        """
        key = (report.file, content, beside)
        reading = self._readings.pop(key, None)
        if reading is None:
            own = Report(report.file)
            reading = _Reading(read(content, own), own.problems, own.warnings)
            self._bytes += len(content)
        self._readings[key] = reading  # the newest is the last
        report.problems.extend(reading.problems)
        report.warnings.extend(reading.warnings)
        while self._bytes > MAX_REMEMBERED_BYTES:
            oldest = next(iter(self._readings))
            del self._readings[oldest]
            self._bytes -= len(oldest[1])
        return reading.result
