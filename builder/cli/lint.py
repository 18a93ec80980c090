"""``writ lint``: find everything that is wrong with the policies."""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.shared import print_json
from policy_core.errors import InvalidPolicyError, UsageError

if TYPE_CHECKING:
    from builder.linting import LintResult
    from builder.source import PolicyTree

_COLOURS = {": error: ": "red", ": warning: ": "yellow", ": fixed: ": "green"}


@click.command()
@click.argument("revision", metavar="[REV]", required=False)
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True,
    help="Print for people, for machines, or as SARIF 2.1.0 for forges.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit with 3 for warnings as well.")
@click.option("--fix", is_flag=True, help="First put right in the work tree what changes no decision.")
@click.option("--explain", "code", metavar="CODE", help="Print what a code means and how to get rid of it.")
@click.pass_context
def lint(
    context: click.Context, revision: str | None, output_format: str, strict: bool, fix: bool, code: str | None
) -> None:
    """Check the policies in the work tree, or those of the commit REV, and print all findings with their places.

    Exits with 3 if there is an error; warnings alone stop nothing without --strict.

    \b
    Example:
      writ lint
      writ lint --fix --strict
      writ lint --explain W101
      writ lint --format json HEAD~1
    """
    if code is not None:
        click.echo(_explanation(code))
        return
    if fix and revision is not None:
        raise UsageError("--fix beside a revision: a commit cannot be changed", hint="run it on the work tree")
    from builder.cli.trees import today_utc
    from builder.linting import describe_findings, findings_record, sarif_log

    result, fixes = _linted(context.obj, revision, fix=fix, today=today_utc())
    for line in fixes:
        _echo(line, to_stderr=output_format != "text")
    if output_format == "json":
        print_json(findings_record(result))
    elif output_format == "sarif":
        print_json(sarif_log(result))
    else:
        for line in describe_findings(result):
            _echo(line)
    if result.problems or (strict and result.warnings):
        context.exit(InvalidPolicyError.exit_code)


def _linted(
    directory: Path, revision: str | None, *, fix: bool, today: datetime.date
) -> tuple["LintResult", list[str]]:
    """Return the findings of a work tree or commit, and what was put right before."""
    from builder.linting import LintResult, fix_tree, lint_tree
    from builder.source import PolicyRepository

    repository = PolicyRepository.open(directory)
    try:
        tree = repository.worktree() if revision is None else repository.tree(revision)
    except InvalidPolicyError as error:  # links, bad names: the tree could not even be read
        return LintResult(problems=error.problems, warnings=()), []
    result = lint_tree(tree, today=today)
    if not fix or result.problems:
        return result, []
    fixed, fixes = fix_tree(tree, result)
    after = lint_tree(fixed, today=today)
    if after.problems:
        raise RuntimeError(f"a fix made the policies unsound: {after.problems[0]}")  # nothing is written: a bug
    _write_changes(Path(repository.git.workdir), tree, fixed)
    return after, [str(fix) for fix in fixes]


def _write_changes(root: Path, before: "PolicyTree", after: "PolicyTree") -> None:
    """Replace each changed file at once, unless somebody saved it meanwhile."""
    from builder.cli.writing import replace_file

    for path, content in after.files.items():
        if content != before.files[path]:
            replace_file(root / path, before.files[path], content)


def _explanation(code: str) -> str:
    from builder.language.fields import suggestion
    from builder.linting.pages import PAGES

    pages = {page.code.value: page for page in PAGES.values()}
    page = pages.get(code.upper())
    if page is None:
        raise UsageError(f"no code {code[:40]!r}", hint=suggestion(code.upper(), pages, "codes"))
    return page.text()


def _echo(line: str, *, to_stderr: bool = False) -> None:
    """Print a line, its kind of finding in colour; click removes colours where output is no terminal."""
    for kind, colour in _COLOURS.items():
        if kind in line:
            before, _, after = line.partition(kind)
            line = before + click.style(kind, fg=colour) + after
            break
    click.echo(line, err=to_stderr)
