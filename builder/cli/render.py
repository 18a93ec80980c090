"""``writ render``: what runs beside Writ, made from ``writ.yaml``."""

from pathlib import Path

import click


@click.command()
@click.argument("thing", metavar="[THING]", required=False)
@click.option("--list", "show_list", is_flag=True, help="Show what there is to render, and in which forms.")
@click.option("--format", "form", metavar="FORM", help="One of the forms of THING (default: its first).")
@click.option(
    "-o", "output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write the files below DIR instead of printing them.",
)  # fmt: skip
@click.pass_context
def render(
    context: click.Context, thing: str | None, show_list: bool, form: str | None, output: Path | None
) -> None:  # fmt: skip
    """Render what a store and hosts need beside policies: rights, what keeps the store fresh, what runs sidecars.

    Store and channels are those of writ.yaml in HEAD; the same commit gives the same files. Nothing is contacted.

    \b
    Example:
      writ render --list
      writ render access --format terraform -o infrastructure
    """
    from builder.cli.writing import write_files
    from builder.publishing.workspace import Workspace
    from builder.rendering.catalogue import CATALOGUE, Settings, find, render
    from policy_core.errors import UsageError

    if show_list:
        for renderable in CATALOGUE:
            click.echo(f"{renderable.name:<10} {renderable.what} ({', '.join(renderable.forms)})")
        return
    if thing is None:
        raise UsageError("what to render was not said", hint="see `writ render --list`")
    project = Workspace.open(context.obj).project
    files = render(find(thing), form, Settings(project.name, project.store, project.channels))
    if output is not None:
        write_files(context.obj / output, {name: content.encode() for name, content in files.items()})
        for name in files:
            click.echo(output / name)
        return
    for name, content in files.items():
        if len(files) > 1:
            click.echo(f"# {name}")
        click.echo(content, nl=False)
