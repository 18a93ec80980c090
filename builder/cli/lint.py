"""``writ lint``: find everything that is wrong with the policies."""

import click

from builder.cli.shared import format_option, print_json


@click.command()
@click.argument("revision", metavar="[REV]", required=False)
@format_option
@click.pass_context
def lint(context: click.Context, revision: str | None, output_format: str) -> None:
    """Check the policies in the work tree, or those of the commit REV, and print all problems with their places.

    Exits with 3 if there is a problem; warnings alone do not stop anything.

    \b
    Example:
      writ lint
      writ lint --format json HEAD~1
    """
    from builder.cli.trees import read_tree, today_utc
    from builder.linting import LintResult, describe_findings, findings_record, lint_tree
    from policy_core.errors import InvalidPolicyError

    try:
        result = lint_tree(read_tree(context.obj, revision), today=today_utc())
    except InvalidPolicyError as error:  # links, bad names: the tree could not even be read
        result = LintResult(problems=error.problems, warnings=())
    if output_format == "json":
        print_json(findings_record(result))
    else:
        for line in describe_findings(result):
            click.echo(line)
    if result.problems:
        context.exit(InvalidPolicyError.exit_code)
