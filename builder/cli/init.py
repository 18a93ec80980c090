"""``writ init``: a policy repository ready for its first pull request."""

import os
import re
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.writing import write_files
from policy_core.errors import UsageError

if TYPE_CHECKING:
    import pygit2

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", metavar="NAME", help="Name of the repository and its bundles (default: the name of DIR).")
@click.option("--store", metavar="URL", help="Where bundles will be published: s3://BUCKET/PREFIX or file:///DIR.")
@click.pass_context
def init(context: click.Context, directory: Path, name: str | None, store: str | None) -> None:
    """Start a policy repository in DIR: policies for agents, their tests, a workflow, and a first commit.

    Without --store, bundles go to a folder below $XDG_DATA_HOME (or ~/.local/share), which is enough to try things out.

    \b
    Example:
      writ init my-policies --store s3://my-bucket/policies
    """
    from builder.templating import TemplateValues, find_template, render
    from bundle_store.opening import open_store

    target: Path = (context.obj / directory).resolve()
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target}: is not empty", hint="name a new directory; nothing was changed")
    name = target.name.lower() if name is None else name
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"name {name!r}: not a name (expected lower-case letters, digits and dashes, at most 63)",
            hint="choose one with --name",
        )
    store = _default_store(name) if store is None else store
    open_store(store)  # refuses what could never be published to, before anything is written

    files = render(find_template(), TemplateValues(name=name, store=store, today=datetime.now(UTC).date()))
    write_files(target, files)
    revision = _first_commit(target, name, files)
    click.echo(f"{target}: policy repository {name}, first commit {revision[:12]}")
    click.echo(
        f"""
Next:
  cd {shlex.quote(str(target))}
  writ lint && writ test       check the policies and run their tests
  writ keys init --dev         make signing keys, to try things out
  writ publish                 sign the policies and publish them to {store}

README.md tells how a host is wired; `writ library list` names more policies, ready to add."""
    )


def _default_store(name: str) -> str:
    # the XDG rules: a relative value is invalid and counts as unset
    configured = Path(os.environ.get("XDG_DATA_HOME", ""))
    data_home = configured if configured.is_absolute() else Path.home() / ".local" / "share"
    return (data_home / "writ" / "stores" / name).as_uri()


def _first_commit(target: Path, name: str, paths: Iterable[str]) -> str:
    import pygit2

    try:
        repository = pygit2.init_repository(target, initial_head="main")
        for path in paths:  # one by one: a person's global ignore file must not drop any
            repository.index.add(path)
        repository.index.write()
        who = _signature(repository)
        tree = repository.index.write_tree()
        return str(repository.create_commit("HEAD", who, who, f"Start policy repository {name}\n", tree, []))
    except (pygit2.GitError, OSError) as error:
        raise UsageError(
            f"{target}: git cannot commit here ({error})",
            hint="the files are in place; remove them before trying again",
        ) from error


def _signature(repository: "pygit2.Repository") -> "pygit2.Signature":
    """Return the identity git is configured with, or one that says plainly that there was none."""
    import pygit2

    try:
        return repository.default_signature
    except (KeyError, pygit2.GitError):  # user.name or user.email is not set, or empty
        return pygit2.Signature("writ init", "writ@localhost")
