"""``writ library``: policies for common runtime primitives, to copy into a policy repository."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.shared import format_option, print_json
from builder.cli.writing import write_files
from policy_core.errors import UsageError

if TYPE_CHECKING:
    from builder.library import Primitive


@click.group()
def library() -> None:
    """Policies for common questions, with tests, to copy into your repository and adapt."""


@library.command("list")
@format_option
def library_list(output_format: str) -> None:
    """List the primitives: the question each answers, by the name it is added by.

    \b
    Example:
      writ library list
    """
    primitives = _read()
    if output_format == "json":
        print_json([{"name": item.name, "title": item.title, "intent": item.intent} for item in primitives])
        return
    width = max(len(item.name) for item in primitives)
    for item in primitives:
        click.echo(f"{item.name:{width}}  {item.title}")


@library.command("add")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@format_option
@click.pass_context
def library_add(context: click.Context, names: tuple[str, ...], output_format: str) -> None:
    """Copy primitives into the policy repository: policies, tests, and the data they read.

    The files are yours from then on. Nothing is overwritten: if a file is there with other content, nothing is written.
    What a primitive needs in writ.yaml is printed for you to add.

    \b
    Example:
      writ library add identity-binding blast-radius
    """
    from builder.library import choose, missing_files
    from builder.source import PolicyRepository

    workdir: str | None = PolicyRepository.open(context.obj).git.workdir
    if workdir is None:
        raise UsageError(f"{context.obj}: a bare repository has no files", hint="run this in a clone")
    chosen = choose(_read(), names)
    files = missing_files(Path(workdir), chosen)
    write_files(Path(workdir), files)
    settings = "\n".join(item.settings for item in chosen if item.settings)
    if output_format == "json":
        print_json({"written": list(files), "settings": settings})
        return
    for path in files:
        click.echo(path)
    if not files:
        click.echo("all files are there already, nothing to do")
        return
    if settings:
        click.echo(f"\nAdd to writ.yaml, with people of your own:\n\n{settings}", nl=False)
    click.echo("\nNext: adapt them to your actions and data, run `writ test --coverage --mutate`, and commit.")


def _read() -> "tuple[Primitive, ...]":
    from builder.cli.trees import today_utc
    from builder.library import read_library
    from builder.templating import find_template

    return read_library(find_template(), today=today_utc())
