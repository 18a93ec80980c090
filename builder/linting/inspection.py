"""What every check looks at: the compiled policies, the day, and each rule with all that it asks."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from builder.compiling import Compiled
from builder.language.codes import Code
from builder.linting.facets import Facets, rule_facets
from policy_core.errors import Problem
from policy_core.model import Rule


@dataclass(frozen=True, slots=True)
class Inspection:
    """A sound policy tree on a given day (UTC); rules are in the order of ties."""

    compiled: Compiled
    today: datetime.date
    facets: Mapping[str, Facets]
    places: Mapping[str, str]

    @classmethod
    def of(cls, compiled: Compiled, today: datetime.date) -> "Inspection":
        """Prepare a compiled tree for the checks."""
        facets = {rule.name: rule_facets(rule) for rule in compiled.rules}
        return cls(compiled, today, facets, compiled.places())

    def finding(self, code: Code, rule: Rule, message: str, hint: str) -> Problem:
        """Return a finding about a rule."""
        file, _, line = self.places[rule.name].rpartition(":")
        return Problem(file, int(line), 1, f"rule {rule.id} {message}", hint, code)

    def named(self, rule: Rule) -> str:
        """Return a rule as messages about another one name it."""
        return f"{rule.name} ({self.places[rule.name]})"
