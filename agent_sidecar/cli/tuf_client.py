"""``writ-sidecar tuf-client``: the command line TUF's conformance suite gives every client it tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from policy_core.errors import UsageError

Value = TypeVar("Value", str, Path)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@dataclass(frozen=True, slots=True)
class _Options:
    metadata_dir: Path | None
    metadata_url: str | None
    target_name: str | None
    target_dir: Path | None
    target_base_url: str | None


@click.group("tuf-client")
@click.option("--metadata-dir", type=_DIRECTORY, metavar="DIR", help="Directory of trusted metadata; required.")
@click.option("--metadata-url", metavar="URL", help="Where the repository's metadata is: http or https.")
@click.option("--target-name", metavar="PATH", help="Path of the target to download.")
@click.option("--target-dir", type=_DIRECTORY, metavar="DIR", help="Directory to download to.")
@click.option("--target-base-url", metavar="URL", help="Where the repository's targets are.")
@click.pass_context
def tuf_client(
    context: click.Context,
    /,
    metadata_dir: Path | None,
    metadata_url: str | None,
    target_name: str | None,
    target_dir: Path | None,
    target_base_url: str | None,
) -> None:
    """Read any TUF repository as a host reads its store, so that others can test how.

    The options are those TUF's conformance suite gives a client. No daemon and no channel is involved.

    \b
    Example:
      writ-sidecar tuf-client --metadata-dir metadata init root.json
    """
    context.obj = _Options(metadata_dir, metadata_url, target_name, target_dir, target_base_url)


@tuf_client.command()
@click.argument("trusted_root", type=click.File("rb"), metavar="TRUSTED_ROOT")
@click.pass_obj
def init(options: _Options, trusted_root: Any) -> None:
    """Trust the root in the file TRUSTED_ROOT.

    \b
    Example:
      writ-sidecar tuf-client --metadata-dir metadata init root.json
    """
    from agent_sidecar.tuf_client import initialise
    from policy_core.trust.layout import MAX_ROOT_BYTES

    initialise(_given("metadata-dir", options.metadata_dir), trusted_root.read(MAX_ROOT_BYTES + 1))


@tuf_client.command()
@click.pass_obj
def refresh(options: _Options) -> None:
    """Update the metadata of the top-level roles from --metadata-url.

    \b
    Example:
      writ-sidecar tuf-client --metadata-dir metadata \\
          --metadata-url https://cdn.example.com/writ/metadata refresh
    """
    from agent_sidecar import tuf_client as client

    client.refresh(_given("metadata-dir", options.metadata_dir), _given("metadata-url", options.metadata_url))


@tuf_client.command()
@click.pass_obj
def download(options: _Options) -> None:
    """Update the metadata, download a target unless it is there already, and print its file.

    \b
    Example:
      writ-sidecar tuf-client --metadata-dir metadata \\
          --metadata-url https://cdn.example.com/writ/metadata --target-name prod/acme.tar.gz \\
          --target-dir targets --target-base-url https://cdn.example.com/writ/targets download
    """
    from agent_sidecar import tuf_client as client

    path = client.download(
        _given("metadata-dir", options.metadata_dir),
        _given("metadata-url", options.metadata_url),
        _given("target-name", options.target_name),
        base_url=_given("target-base-url", options.target_base_url),
        target_directory=_given("target-dir", options.target_dir),
    )
    click.echo(str(path))


def _given(name: str, value: Value | None) -> Value:
    if not value:
        raise UsageError(f"tuf-client: missing option '--{name}'", hint="options stand before the command")
    return value
