"""Which commit is live in a channel: said by the verified store or, where it cannot be reached, by the ledger here."""

from dataclasses import dataclass
from pathlib import Path

from builder.ledger.branch import find_branch
from builder.publishing.workspace import Workspace
from bundle_store.port import StoreDeniedError, StoreUnavailableError
from policy_core.errors import KnownError, UsageError

_HINT = "compare with a commit instead: writ simulate --from REV"


@dataclass(frozen=True, slots=True)
class Live:
    """The source commit of what is live; `note` says so if only the ledger in this clone was asked."""

    label: str
    revision: str
    note: str = ""


def find_live(directory: Path, channel: str | None, *, or_ledger: bool) -> Live:
    """Return what is live in a channel (default: the first in ``writ.yaml``).

    With `or_ledger` a store that cannot be read is replaced by the ledger in this clone, which nothing verifies: good
    enough to look at, not to judge by.

    Raises UsageError if nothing is live or nobody can tell, TrustError, and RemoteError if the ledger cannot help.
    """
    workspace = Workspace.open(directory)
    name = workspace.channel(channel)
    try:
        release = workspace.reader(name).read().verified.release
    except (StoreUnavailableError, StoreDeniedError) as error:  # a store that answers with less is not talked over
        found = _by_ledger(workspace, name, error) if or_ledger else None
        if found is None:
            error.hint = f"{error.hint}; or {_HINT}" if error.hint else _HINT
            raise
        return found
    except UsageError as error:
        error.hint = f"{error.hint}; or {_HINT}" if error.hint else _HINT
        raise
    if release is None:
        raise UsageError(f"channel {name}: nothing is live yet", hint=_HINT)
    return Live(f"release {release.release} of {name}, live (commit {release.revision[:12]})", release.revision)


def _by_ledger(workspace: Workspace, channel: str, error: KnownError) -> Live | None:
    branch = find_branch(workspace.repository.git, channel)
    if branch is None or not branch.parent_ids:  # its first commit stands for no release
        return None
    revision = str(branch.parent_ids[-1])
    return Live(
        f"the end of the ledger live/{channel} in this clone (commit {revision[:12]})",
        revision,
        f"{error.message}: taking the ledger live/{channel} of this clone, which may be behind",
    )
