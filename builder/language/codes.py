"""The codes of findings: ``E…`` makes a policy repository unusable, ``W…`` does not. No code ever gets a new meaning.

What each means, and how to get rid of it: docs/reference/lint.md.
"""

from enum import StrEnum


class Code(StrEnum):
    """One class of findings."""

    INVALID_VALUE = "E100"
    UNREADABLE = "E101"
    UNKNOWN_KEY = "E102"
    MISSING_KEY = "E103"
    DUPLICATE_NAME = "E104"
    INVALID_CONDITION = "E105"
    CONTRADICTING_CONSTRAINTS = "E106"
    EXPIRED_POLICY = "E107"
    UNUSABLE_FILE = "E108"
    UNGOVERNED = "E109"
    INVALID_SCHEMA = "E120"
    INVALID_DATA = "E121"
    UNDECLARED = "E122"
    LEAK = "E123"

    DUPLICATE_RULE = "W101"
    UNREACHABLE_RULE = "W102"
    COVERED_RULE = "W103"
    PAST_WINDOW = "W104"
    OWNERLESS_WILDCARD = "W105"
    MIXED_CASE_TAG = "W106"
    UNUSED_DATA = "W107"
    REPEATED_ENTRY = "W108"
    UNUSED_FIXTURE = "W109"
    EXPIRING_POLICY = "W110"
    OVERDUE_REVIEW = "W111"
    MISSING_DATA = "W112"
    COVERED_ENTRY = "W113"
    EXPIRED_EXCEPTION = "W114"
    EXPIRING_EXCEPTION = "W115"
    SHADOWED_EXCEPTION = "W116"
    HOST_RATE = "W117"
    BARE_CLAIM = "W118"
    UNLISTABLE = "W119"
    TYPE_WITHOUT_SCHEMA = "W120"
    REQUEST_AGAINST_SCHEMA = "W121"
    UNUSED_ALLOWANCE = "W122"

    @property
    def is_error(self) -> bool:
        """Tell whether a finding of this class makes a repository unusable."""
        return self.startswith("E")
