"""What editors read: a JSON Schema for every kind of file that people write.

They are made from the model and the limits the compiler goes by, and find what can be found in one file by its form.
The compiler remains the judge: it checks conditions, names of rules and everything that concerns several files.
"""

from collections.abc import Callable
from dataclasses import dataclass

from builder.editing.parts import Schema
from builder.editing.policy import classify, exception, policy
from builder.editing.settings import project
from builder.editing.suites import fixtures, suite

_DRAFT = "http://json-schema.org/draft-07/schema#"


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file: which files are of it (a glob), and the schema of their content."""

    name: str
    files: str
    title: str
    make: Callable[[], Schema]

    def schema(self) -> Schema:
        """Return the complete JSON Schema."""
        return {"$schema": _DRAFT, "title": self.title, **self.make()}


KINDS = {
    kind.name: kind
    for kind in (
        FileKind("project", "writ.yaml", "Settings of a policy repository", project),
        FileKind("policy", "policies/**/*.yaml", "Policy document", policy),
        FileKind("exception", "exceptions/**/*.yaml", "Exception", exception),
        FileKind("classify", "classify/**/*.yaml", "Classification document", classify),
        FileKind("suite", "tests/**/*.yaml", "Policy tests", suite),
        FileKind("fixtures", "tests/fixtures/**/*.yaml", "Fixtures that policy tests share", fixtures),
    )
}

__all__ = ["KINDS", "FileKind"]
