"""``writ test``: run the policy tests."""

from pathlib import Path

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import format_option, print_json
from builder.cli.writing import write_file
from policy_core.errors import UsageError


@click.command()
@click.argument("revision", metavar="[REV]", required=False)
@click.option(
    "--filter", "wanted", metavar="TEXT", default="",
    help="Run only cases with TEXT in their name, their suite's name or file, or the rule they expect.",
)  # fmt: skip
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the results there as JUnit XML too.",
)  # fmt: skip
@click.option("--coverage", is_flag=True, help="Show which rules and clauses no test covers; see gates in writ.yaml.")
@format_option
@click.pass_context
def test(
    context: click.Context, revision: str | None, wanted: str, junit: Path | None, coverage: bool, output_format: str
) -> None:
    """Run the policy tests of the work tree, or those of the commit REV, with the matcher that runs on hosts.

    Exits with 4 if a test fails, naming what was expected, what came, and the rule that decided. With --coverage also
    if the tests cover less than gates.coverage in writ.yaml asks for.

    \b
    Example:
      writ test
      writ test --filter restart
      writ test --coverage --junit tests.xml HEAD
    """
    if wanted and coverage:
        raise UsageError("--coverage: is about all tests, not a part of them", hint="leave out --filter")
    from builder.cli.trees import read_tree
    from builder.compiling import compile_tree
    from builder.policytest import (
        coverage_record,
        describe_coverage,
        describe_report,
        junit_xml,
        measure_coverage,
        report_record,
        run_suites,
    )

    compiled = compile_tree(read_tree(context.obj, revision), today=None)
    report = run_suites(compiled, wanted=wanted)
    if junit:
        write_file(context.obj / junit, junit_xml(report), option="--junit")
    covered = measure_coverage(compiled, report) if coverage else None
    if output_format == "json":
        print_json(report_record(report) | ({"coverage": coverage_record(covered)} if covered else {}))
    else:
        for line in (*describe_report(report), *(describe_coverage(covered) if covered else ())):
            echo_marked(line)
    report.require_passed()
    if covered:
        covered.require(compiled.project.coverage)
