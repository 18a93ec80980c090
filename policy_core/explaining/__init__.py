"""Why a request gets its answer, and what would have to change for another: pure, slow, and for people."""

from policy_core.explaining.explanation import (
    MAX_NEAR_RULES,
    Explanation,
    explain,
    explanation_record,
    nearest,
    trace_record,
)
from policy_core.explaining.suggestions import MAX_SUGGESTIONS, Suggestion

__all__ = [
    "MAX_NEAR_RULES",
    "MAX_SUGGESTIONS",
    "Explanation",
    "Suggestion",
    "explain",
    "explanation_record",
    "nearest",
    "trace_record",
]
