"""Policy tests: the cases of a policy repository, answered by the very matcher that runs on hosts."""

from builder.policytest.junit import junit_xml
from builder.policytest.report import describe_report, report_record
from builder.policytest.runner import CaseResult, Status, SuiteResult, TestReport, run_suites

__all__ = [
    "CaseResult",
    "Status",
    "SuiteResult",
    "TestReport",
    "describe_report",
    "junit_xml",
    "report_record",
    "run_suites",
]
