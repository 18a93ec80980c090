"""Explanations for authors: those of `policy_core.explaining`, with the place of every rule."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy_core import explaining
from policy_core.decision import PolicyRef
from policy_core.explaining import text
from policy_core.matcher import Matcher, encode_rules, load
from policy_core.model import Provisions, Rule
from policy_core.trace import RuleTrace


def matcher_for(rules: Sequence[Rule], provisions: Provisions, revision: str) -> Matcher:
    """Return the very matcher hosts run, loaded from the encoded rules as they will travel."""
    return load(encode_rules(rules), policy=PolicyRef(bundle="", revision=revision), provisions=provisions)


def describe_explanation(explanation: explaining.Explanation, places: Mapping[str, str], source: str) -> Iterator[str]:
    """Yield an explanation as lines; `places` maps rules to *file:line*, `source` says which policies were asked."""
    return text.describe_explanation(explaining.explanation_record(explanation), places=places, source=source)


def explanation_record(explanation: explaining.Explanation, places: Mapping[str, str]) -> dict[str, Any]:
    """Return an explanation as a JSON object."""
    rules = [trace_record(trace, places[trace.rule.name]) for trace in explanation.rules]
    return {**explaining.explanation_record(explanation), "rules": rules}


def describe_trace(trace: RuleTrace, place: str) -> Iterator[str]:
    """Yield the lines that show one rule: whether it applies, then each clause with what it wants and what it saw."""
    return text.describe_trace(explaining.trace_record(trace), place)


def trace_record(trace: RuleTrace, place: str) -> dict[str, Any]:
    """Return a trace as a JSON object."""
    return {**explaining.trace_record(trace), "place": place}
