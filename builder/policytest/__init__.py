"""Policy tests: the cases of a policy repository, answered by the very matcher that runs on hosts."""

from builder.policytest.coverage import Coverage, coverage_record, describe_coverage, measure_coverage
from builder.policytest.junit import junit_xml
from builder.policytest.mutation import Mutation, check_mutants, describe_mutation, mutation_record
from builder.policytest.report import describe_report, report_record
from builder.policytest.runner import CaseResult, Status, SuiteResult, TestReport, run_suites

__all__ = [
    "CaseResult",
    "Coverage",
    "Mutation",
    "Status",
    "SuiteResult",
    "TestReport",
    "check_mutants",
    "coverage_record",
    "describe_coverage",
    "describe_mutation",
    "describe_report",
    "junit_xml",
    "measure_coverage",
    "mutation_record",
    "report_record",
    "run_suites",
]
