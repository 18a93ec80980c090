"""``writ test``: run the policy tests."""

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import format_option, print_json


@click.command()
@click.argument("revision", metavar="[REV]", required=False)
@format_option
@click.pass_context
def test(context: click.Context, revision: str | None, output_format: str) -> None:
    """Run the policy tests of the work tree, or those of the commit REV, with the matcher that runs on hosts.

    Exits with 4 if a test fails, naming what was expected, what came, and the rule that decided.

    \b
    Example:
      writ test
      writ test --format json HEAD
    """
    from builder.cli.trees import read_tree
    from builder.compiling import compile_tree
    from builder.policytest import describe_report, report_record, run_suites

    report = run_suites(compile_tree(read_tree(context.obj, revision), today=None))
    if output_format == "json":
        print_json(report_record(report))
    else:
        for line in describe_report(report):
            echo_marked(line)
    report.require_passed()
