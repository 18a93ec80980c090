"""``writ build``: make the bundle of a commit."""

from pathlib import Path

import click

from builder.cli.shared import format_option, print_json
from builder.cli.writing import write_file
from policy_core.errors import UsageError


@click.command()
@click.argument("revision", metavar="[REV]", required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the bundle there; without it, only its digests are printed.",
)  # fmt: skip
@click.option(
    "--worktree", is_flag=True,
    help="Build uncommitted files to try them out: the bundle is marked dirty, and publish refuses it.",
)  # fmt: skip
@format_option
@click.pass_context
def build(
    context: click.Context, revision: str | None, output: Path | None, worktree: bool, output_format: str
) -> None:
    """Build the bundle of the commit REV (default: HEAD) and print its digests.

    The same commit gives the same bytes everywhere; nothing but the commit goes into them.

    \b
    Example:
      writ build -o policies.tar.gz
      writ build --format json v1.4
    """
    from builder.cli.trees import note_uncommitted
    from builder.compiling import bundle_of, compile_tree
    from builder.source import PolicyRepository

    if worktree and revision:
        raise UsageError("--worktree: builds what is not committed", hint="leave out REV, or --worktree")
    repository = PolicyRepository.open(context.obj)
    tree = repository.worktree() if worktree else repository.tree(revision or "HEAD")
    compiled = compile_tree(tree, today=None)
    blob, bundle = bundle_of(compiled)
    if not worktree:
        note_uncommitted(repository, tree.revision)
    if output:
        write_file(context.obj / output, blob, option="-o")
    record = {
        "name": bundle.name, "revision": bundle.revision, "dirty": bundle.dirty, "policies": len(compiled.documents),
        "rules": len(compiled.rules), "length": len(blob), "sha256": bundle.sha256,
        "content_sha256": bundle.content_sha256, "policy_sha256": bundle.policy_sha256,
        "file": str(output) if output else None,
    }  # fmt: skip
    if output_format == "json":
        print_json(record)
    else:
        _print_text(record)


def _print_text(record: dict[str, object]) -> None:
    dirty = " (dirty: with uncommitted files, never published)" if record["dirty"] else ""
    rows = {
        "bundle": f"{record['name']}, {record['length']} bytes",
        "rules": f"{record['rules']} in {record['policies']} policies",
        "revision": f"{record['revision']}{dirty}",
        **{name: f"sha256:{record[name]}" for name in ("sha256", "content_sha256", "policy_sha256")},
    }
    if record["file"]:
        rows["written to"] = str(record["file"])
    for name, value in rows.items():
        click.echo(f"{name:<15} {value}")
