"""Who approved the commits of a release, and who still has to: the gate behind ``governance.approvals``.

What counts as an approval of a commit by a member, and nothing else:

1. the member's own signature on it;
2. the member's signature on a merge that brought it in and says ``Approved-by: MEMBER``. Without those words it counts
   for the merge alone: who updates a branch signs a merge, too, and approves nothing by it;
3. the last word of the member's reviews of it, if that approves, and the member is not its author.

Signers, teams and globs are those of the release that is live: a commit can neither add a signer nor drop a demand.
Every source only adds names, so an approval more never turns what was approved into what is not.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pygit2

from builder.language.codes import Code
from builder.language.nodes import Report
from builder.language.path_approvals import PathApprovals
from builder.language.signers import signers_of
from builder.merging.history import History
from builder.merging.reviews import APPROVED, ReviewRecord
from builder.merging.signatures import NOT_SIGNED, Found, Signature, read_signatures
from builder.merging.trailers import read_approved_by
from policy_core.errors import GateError, InvalidPolicyError, Problem

MAX_NAMED = 200
"""Missing approvals told one by one."""


class Approvals(msgspec.Struct, frozen=True):
    """The verdict: of the commits `since` a revision, how many needed approval, and whose counted for which team."""

    since: str
    commits: int
    teams: dict[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Return everybody whose approval counted, sorted."""
        return tuple(sorted({name for names in self.teams.values() for name in names}))


class MissingApprovalsError(GateError):
    """Commits change what teams must approve, and not all of them did; `problems` says which and where.

    It has the `first` of `count`.
    """

    default_hint = (
        "let a member review the pull request (`--reviews FILE`), or merge it with a signed merge commit that says "
        "`Approved-by: NAME`; see docs/how-to/require-approvals.md"
    )

    def __init__(self, label: str, first: Sequence[Problem], count: int) -> None:
        super().__init__(f"writ.yaml of {label}: {count} approval{'' if count == 1 else 's'} missing")
        more = Problem("…", 0, 0, f"and {count - len(first)} more", "", Code.UNGOVERNED)
        self.problems = (*first, *([more] if count > len(first) else []))


def require_approvals(
    label: str,
    demanded: PathApprovals,
    live_files: Mapping[str, bytes],
    git: pygit2.Repository,
    *,
    since: str,
    revision: str,
    reviews: Sequence[ReviewRecord] = (),
) -> Approvals:
    """Hold the commits that lead from `since` to `revision` to what the live release, called `label`, demands.

    `live_files` are the files of that release. Raises MissingApprovalsError, which names everything that is missing;
    UsageError if git or `ssh-keygen` is not there, or an object of the repository.
    """
    report = Report("")
    signers = signers_of(live_files, demanded, report)
    if report.problems:
        raise InvalidPolicyError(report.problems)
    history = History(git)
    commits = history.since(revision, not_in=since)
    governed = {commit: paths for commit in commits if (paths := _governed_paths(history, demanded, commit))}
    merges = {commit: names for commit in commits if governed and (names := _approving_trailers(history, commit))}
    signatures = read_signatures(git, sorted({*governed, *merges}), signers)
    evidence = _Evidence(history, frozenset(commits), merges, signatures, _by_commit(reviews))
    approved_by = {commit: evidence.approved_by(commit) for commit in governed}
    lacking = [
        (commit, path, missing)
        for commit, paths in governed.items()
        for path, teams in sorted(paths.items())
        if (missing := demanded.missing(teams, approved_by[commit]))
    ]
    if lacking:
        first = [_problem(demanded, evidence, *each) for each in lacking[:MAX_NAMED]]
        raise MissingApprovalsError(label, first, len(lacking))
    counted: dict[str, set[str]] = defaultdict(set)
    for commit, paths in governed.items():
        for team in {team for teams in paths.values() for team in teams}:
            counted[team] |= approved_by[commit] & frozenset(demanded.members[team])
    return Approvals(since, len(governed), {team: tuple(sorted(names)) for team, names in sorted(counted.items())})


def _governed_paths(history: History, demanded: PathApprovals, commit: str) -> dict[str, tuple[str, ...]]:
    return {path: teams for path in history.changed_paths(commit) if (teams := demanded.teams_of(path))}


def _approving_trailers(history: History, commit: str) -> tuple[str, ...]:
    """Return the names in the trailers of a merge, none for other commits: those speak for themselves alone."""
    found = history.commit(commit)
    return read_approved_by(found) if len(found.parent_ids) > 1 else ()


def _by_commit(reviews: Sequence[ReviewRecord]) -> Mapping[str, Sequence[ReviewRecord]]:
    """Return the reviews of each commit that one is of or covers, in their order."""
    found: dict[str, list[ReviewRecord]] = defaultdict(list)
    for review in reviews:
        for commit in {review.commit, *review.covers}:
            found[commit].append(review)
    return found


@dataclass(frozen=True, slots=True)
class _Evidence:
    """All that speaks for the commits of a range, and why some of it does not count."""

    history: History
    commits: frozenset[str]
    merges: Mapping[str, tuple[str, ...]]
    signatures: Mapping[str, Signature]
    reviews: Mapping[str, Sequence[ReviewRecord]]
    _brought: dict[str, frozenset[str]] = field(default_factory=dict)

    def approved_by(self, commit: str) -> frozenset[str]:
        """Return the names of all who approved a commit, members or not."""
        names = {self._signature(commit).name}
        for merge, named in self.merges.items():
            signer = self._signature(merge).name
            if signer in named and commit in self._brought_in(merge):
                names.add(signer)
        own = self._author_names(commit)
        names |= {name for name in self._reviewed_by(commit) if name.casefold() not in own}
        return frozenset(names - {""})

    def objections(self, commit: str) -> Iterator[str]:
        """Yield why what looks like an approval of a commit is none."""
        signature = self._signature(commit)
        if signature.found in (Found.UNKNOWN, Found.BAD):
            yield f"the commit is {signature.found.value}"
        for name in read_approved_by(self.history.commit(commit)):
            if name != signature.name:
                yield _unsigned_trailer("its trailer", name, signature)
        for merge, named in self.merges.items():
            signature = self._signature(merge)
            if merge != commit and commit in self._brought_in(merge):
                for name in named:
                    if name != signature.name:
                        yield _unsigned_trailer(f"the trailer of merge {merge[:12]}", name, signature)
        own = self._author_names(commit)
        for name in sorted(self._reviewed_by(commit)):
            if name.casefold() in own:
                yield f"{name} wrote it, and nobody reviews their own"

    def _signature(self, commit: str) -> Signature:
        return self.signatures.get(commit, NOT_SIGNED)

    def _brought_in(self, merge: str) -> frozenset[str]:
        """Return the commits that a merge added to its first parent, without the merge itself."""
        if merge not in self._brought:
            first = str(self.history.commit(merge).parent_ids[0])
            self._brought[merge] = frozenset(self.history.since(merge, not_in=first)) - {merge}
        return self._brought[merge]

    def _reviewed_by(self, commit: str) -> frozenset[str]:
        """Return the names of those whose last word on a commit approves it.

        An approval at a head that is no part of the release says nothing: what else stood in it is not there. An
        objection stands, or whoever may push would get rid of it by putting the branch back.
        """
        last = {
            review.reviewer: review.state
            for review in self.reviews.get(commit, ())
            if review.state != APPROVED or self._leads_to(review.commit, commit)
        }
        return frozenset(name for name, state in last.items() if state == APPROVED)

    def _leads_to(self, head: str, commit: str) -> bool:
        """Tell whether a reviewed head is part of the release and holds a commit."""
        return head in self.commits and (head == commit or self.history.git.descendant_of(head, commit))

    def _author_names(self, commit: str) -> frozenset[str]:
        """Return how a commit's author may be called: name, e-mail address, and its part before the ``@``.

        Forges hide addresses as ``12345+ana@users.noreply…``: then it is what follows the ``+``, too.
        """
        author = self.history.commit(commit).author
        name, email = (raw.decode(errors="replace") for raw in (author.raw_name, author.raw_email))
        local = email.partition("@")[0]
        return frozenset(text.casefold() for text in (name, email, local, local.rpartition("+")[2]))


def _unsigned_trailer(what: str, name: str, signature: Signature) -> str:
    how = f"signed by {signature.name}" if signature.name else signature.found.value
    return f"{what} `Approved-by: {name}` does not count, as that commit is {how}"


def _problem(demanded: PathApprovals, evidence: _Evidence, commit: str, path: str, missing: Sequence[str]) -> Problem:
    teams = ", ".join(f"{team} ({' or '.join(demanded.members[team])})" for team in missing)
    message = f"commit {commit[:12]} lacks an approval of {teams}"
    return Problem(_printable(path), 0, 0, message, "; ".join(evidence.objections(commit)), Code.UNGOVERNED)


def _printable(path: str) -> str:
    text = path.encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
