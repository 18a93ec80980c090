"""``writ schema``: JSON Schemas of the files people write, for editors."""

from pathlib import Path

import click

from builder.cli.shared import as_json, print_json
from policy_core.errors import UsageError


@click.command()
@click.argument("kind", required=False)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the schemas of all kinds to DIR.",
)
@click.pass_context
def schema(context: click.Context, kind: str | None, into: Path | None) -> None:
    """Print the JSON Schema of one KIND of file, or without KIND list the kinds and the files they are for.

    \b
    Example:
      writ schema
      writ schema policy
      writ schema --into .vscode/writ
    """
    from builder.cli.writing import write_files
    from builder.editing import KINDS
    from builder.language.fields import suggestion

    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind of file {kind[:40]!r}", hint=suggestion(kind, KINDS, "kinds"))
    if kind is not None and into is not None:
        raise UsageError("a kind beside --into", hint="--into writes the schemas of all kinds")
    if into is not None:
        folder = context.obj / into
        write_files(folder, {f"{each.name}.json": as_json(each.schema()).encode() + b"\n" for each in KINDS.values()})
        click.echo(f"{len(KINDS)} schemas in {into}")
    elif kind is not None:
        print_json(KINDS[kind].schema())
    else:
        width = max(map(len, KINDS))
        for each in KINDS.values():
            click.echo(f"{each.name:{width}}  {each.files}")
