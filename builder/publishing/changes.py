"""What a release would change, for whoever is to sign it: commits, and whatever of the policy and its settings differs.

What is not named here can be changed unseen, so nothing that reaches hosts, or is demanded of later releases, is left
out.
"""

from dataclasses import dataclass, fields
from typing import Any

import pygit2

from builder.compiling import Compiled
from builder.publishing.wording import spell_ascii

MAX_COMMITS = 200


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its full id, its author and the first line of its message, both in printable ASCII."""

    id: str
    author: str
    summary: str


@dataclass(frozen=True, slots=True)
class Differences:
    """Names of what was added, removed and changed, such as ``rule policy/rule`` and ``setting store``; each sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def commits_between(git: pygit2.Repository, older: str | None, newer: str) -> list[Commit]:
    """Return the commits that `newer` has and `older` has not, newest first, `MAX_COMMITS` at most."""
    walker = git.walk(newer, pygit2.enums.SortMode.TOPOLOGICAL)
    if older is not None:
        walker.hide(older)
    found: list[Commit] = []
    for commit in walker:
        if len(found) == MAX_COMMITS:
            break
        summary = next(iter(commit.message.splitlines()), "")
        author = f"{commit.author.name} <{commit.author.email}>"
        found.append(Commit(str(commit.id), spell_ascii(author), spell_ascii(summary)))
    return found


def differences(before: Compiled | None, after: Compiled) -> Differences:
    """Return what differs between two compiled policies; None stands for an empty one, without settings to compare."""
    old, new = _parts(before), _parts(after)
    if before is not None:
        old, new = old | _settings(before), new | _settings(after)
    return Differences(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
    )


def _parts(compiled: Compiled | None) -> dict[str, Any]:
    if compiled is None:
        return {}
    beside = compiled.provisions
    rules = {f"rule {rule.name}": rule for rule in compiled.rules}
    exceptions = {f"exception {each.exception.id}": each.exception for each in compiled.exceptions}
    data = {f"data {name}": value for name, value in compiled.data.items()}
    classifications = {f"classification {each.name}": each for each in beside.classifications}
    approvers = {f"approver {each.id}": each for each in beside.approvers}
    return {**rules, **exceptions, **data, **classifications, **approvers}


def _settings(compiled: Compiled) -> dict[str, Any]:
    """Return what ``writ.yaml`` says, what is in the file of signers, and what policies say of themselves."""
    project = compiled.project
    settings = {f"setting {field.name}": getattr(project, field.name) for field in fields(project)}
    settings["setting not_secrets"] = sorted(each.sha256 for each in project.not_secrets)
    signers = project.governance.path_approvals.signers
    metadata = {f"metadata {document.id}": document.metadata for document in compiled.documents}
    return {**settings, **metadata, f"file {signers}": compiled.tree.files.get(signers)}
