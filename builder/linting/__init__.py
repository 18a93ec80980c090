"""Lint: what is wrong with a policy tree, what is suspicious, and what can be put right mechanically."""

from builder.linting.fixing import Fix, fix_tree
from builder.linting.linter import LintResult, lint_tree
from builder.linting.output import describe_findings, findings_record
from builder.linting.sarif import sarif_log

__all__ = ["Fix", "LintResult", "describe_findings", "findings_record", "fix_tree", "lint_tree", "sarif_log"]
