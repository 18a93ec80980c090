"""``writ test``: run the policy tests."""

from pathlib import Path

import click

from builder.cli.marks import echo_marked
from builder.cli.shared import format_option, print_json
from builder.cli.writing import write_file


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
@format_option
@click.pass_context
def test(context: click.Context, revision: str | None, wanted: str, junit: Path | None, output_format: str) -> None:
    """Run the policy tests of the work tree, or those of the commit REV, with the matcher that runs on hosts.

    Exits with 4 if a test fails, naming what was expected, what came, and the rule that decided.

    \b
    Example:
      writ test
      writ test --filter restart
      writ test --junit tests.xml --format json HEAD
    """
    from builder.cli.trees import read_tree
    from builder.compiling import compile_tree
    from builder.policytest import describe_report, junit_xml, report_record, run_suites

    report = run_suites(compile_tree(read_tree(context.obj, revision), today=None), wanted=wanted)
    if junit:
        write_file(context.obj / junit, junit_xml(report), option="--junit")
    if output_format == "json":
        print_json(report_record(report))
    else:
        for line in describe_report(report):
            echo_marked(line)
    report.require_passed()
