"""Why a request gets its answer, and what would have to change for another: pure, slow, and for people."""

from policy_core.explaining.explanation import (
    MAX_NEAR_RULES,
    Explanation,
    condition_of,
    explain,
    explanation_record,
    nearest,
    trace_record,
)
from policy_core.explaining.suggestions import MAX_SUGGESTIONS, Suggestion, misses, unless_outcome

__all__ = [
    "MAX_NEAR_RULES",
    "MAX_SUGGESTIONS",
    "Explanation",
    "Suggestion",
    "condition_of",
    "explain",
    "explanation_record",
    "misses",
    "nearest",
    "trace_record",
    "unless_outcome",
]
