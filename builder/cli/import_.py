"""``writ import``: policies in the job style become policies of ours."""

from pathlib import Path

import click

from builder.cli.shared import format_option, print_json
from policy_core.errors import GateError, InvalidError, UsageError


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o", "output", type=click.Path(path_type=Path), metavar="DIR|FILE",
    help="Write the policy into DIR, or as FILE; what exists is never overwritten (default: only report).",
)  # fmt: skip
@format_option
@click.pass_context
def import_(context: click.Context, file: Path, output: Path | None, output_format: str) -> None:
    """Turn the job-style policy FILE (YAML or JSON, rules tried in order) into a policy document.

    Reports what each rule became, what changed in meaning, and whether both decide alike: the old file is interpreted
    and the new policy asked, on all combinations of the values the file distinguishes, or a sample of them. A field
    that cannot be imported is refused with its place, and nothing is written then.

    Exits with 3 if something is refused, with 4 if decisions differ (the policy is written: its head says so).

    \b
    Example:
      writ import safety.yaml
      writ import safety.yaml -o policies/
    """
    from builder.cli.writing import write_files
    from builder.importing.importer import import_policy
    from builder.importing.report import describe_import, import_record

    content = _read(context.obj / file)
    target = _target(context.obj, output, file)
    imported = import_policy(content, str(file))
    if target is not None and imported.text:
        write_files(target.parent, {target.name: imported.text.encode()})
    if output_format == "json":
        print_json(import_record(imported))
    else:
        for line in describe_import(imported):
            click.echo(line)
        if target is not None and imported.text:
            click.echo(f"written: {target}")
    if imported.refused:
        raise InvalidError(
            f"{file}: not imported", hint="change what is refused in the old file, or leave it out there"
        )
    if imported.proof is not None and imported.proof.differences:
        raise GateError(f"{file}: the imported policy decides differently", hint="its head says for which requests")


def _read(path: Path) -> bytes:
    from builder.language.yamlfile import MAX_YAML_BYTES

    try:
        with path.open("rb") as stream:
            return stream.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint="name a YAML or JSON file") from error


def _target(directory: Path, output: Path | None, file: Path) -> Path | None:
    """Return the file to write, None for none. Raises UsageError if it exists already."""
    if output is None:
        return None
    target: Path = directory / output
    if target.suffix != ".yaml" or target.is_dir():
        target /= f"{file.stem}.yaml"
    if target.exists():
        raise UsageError(f"{target}: exists already", hint="name another file with -o, or remove this one first")
    return target
