"""The ``approvals`` of a governance: which teams must have approved what a commit changes, by globs over paths."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from builder.language import fields
from builder.language.approvers import read_names
from builder.language.nodes import MapNode, Node, Report, ScalarNode
from policy_core.glob import RESERVED, match_glob
from policy_core.grants import missing_approvals
from policy_core.model import Approver

MAX_GLOBS = 1_000
MAX_GLOB_CHARS = 200
MAX_MEMBER_CHARS = 100
"""Of a name that a signed release takes for a person's."""
DEFAULT_SIGNERS = "trust/signers"
SIGNERS = re.compile(r"trust/[A-Za-z0-9_-][A-Za-z0-9._-]*")
GLOB = re.compile(r"[!-~]+")
_MATCHES_NOTHING = re.compile(r"^/|/$|//|(?:^|/)\.{1,2}(?:/|$)")
_DOUBLE_STAR = re.compile(r"(?:^|/)\*\*/")


@dataclass(frozen=True, slots=True)
class PathApprovals:
    """Teams by glob, the members of each team, and the path of the file that lists their keys (`signers`).

    Without globs, nothing is demanded.
    """

    teams_by_glob: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    signers: str = DEFAULT_SIGNERS

    def teams_of(self, path: str) -> tuple[str, ...]:
        """Return the teams that must approve a change of `path`, sorted: those of every glob that matches.

        ``policies/**`` is about ``policies`` itself, too, so that a link in place of the folder is not overlooked.
        """
        spellings = (path, f"{path}/")
        matching = (
            teams
            for glob, teams in self.teams_by_glob.items()
            if any(match_glob(glob, spelling) for spelling in spellings)
        )
        return tuple(sorted({team for teams in matching for team in teams}))

    def missing(self, teams: Collection[str], names: Collection[str]) -> tuple[str, ...]:
        """Return which of `teams` lack an approval if `names` approved; nobody counts for two teams at once."""
        approvers = [Approver(name, "", self._teams_with(name), ()) for name in sorted(names)]
        return tuple(missing_approvals(dict.fromkeys(sorted(teams), 1), approvers))

    def everybody(self) -> frozenset[str]:
        """Return all members."""
        return frozenset(name for names in self.members.values() for name in names)

    def _teams_with(self, name: str) -> tuple[str, ...]:
        return tuple(team for team, names in self.members.items() if name in names)


NO_APPROVALS = PathApprovals()


def read_path_approvals(report: Report, found: MapNode, members: Mapping[str, tuple[str, ...]]) -> PathApprovals:
    """Return what a governance demands per path, as far as it can be read; `members` are its teams."""
    approvals, signers = found.get("approvals"), found.get("signers")
    if signers and not approvals:
        report.at(signers, "governance.signers without governance.approvals", "say what they approve, or take it away")
    allowed = "the path of a file directly in trust/, such as trust/signers"
    path = signers and fields.identifier(report, signers, "governance.signers", SIGNERS, allowed)
    entries = fields.mapping(report, approvals, "governance.approvals") if approvals else None
    if entries is None:
        return NO_APPROVALS
    if len(entries.entries) > MAX_GLOBS:
        report.at(entries, f"too many globs in governance.approvals ({len(entries.entries)}, limit {MAX_GLOBS})")
    teams_by_glob: dict[str, tuple[str, ...]] = {}
    wanted = PathApprovals(teams_by_glob, members, path or DEFAULT_SIGNERS)
    for glob, (place, value) in entries.entries.items():
        _check_glob(report, place, glob)
        what = f"governance.approvals.{glob}"
        teams_by_glob[glob] = read_names(report, value, what)
        _check_teams(report, value, what, teams_by_glob[glob], wanted)
    return wanted


def _check_glob(report: Report, place: ScalarNode, glob: str) -> None:
    what = "glob of governance.approvals"
    allowed = "printable ASCII without spaces: only such paths can be policy"
    if not fields.identifier(report, place, what, GLOB, allowed) or not GLOB.fullmatch(glob):
        return
    if len(glob) > MAX_GLOB_CHARS:
        report.at(place, f"{what} is too long ({len(glob)} characters, limit {MAX_GLOB_CHARS})")
    elif not RESERVED.isdisjoint(glob):
        fields.check_glob(report, place, glob, what)
    elif _MATCHES_NOTHING.search(glob):
        hint = "paths start at the root of the repository, as git prints them: policies/** is all below policies"
        report.at(place, f"{what} matches nothing: {fields.shown(glob)}", hint)
    elif _DOUBLE_STAR.search(glob):
        hint = "'*' is any run of characters, slashes included: write *.yaml, or policies/*.yaml"
        report.at(place, f"{what}: '**/' in {fields.shown(glob)} would ask for a folder", hint)


def _check_teams(report: Report, node: Node, what: str, teams: tuple[str, ...], wanted: PathApprovals) -> None:
    """Refuse what nobody could ever approve."""
    unknown = [team for team in teams if team not in wanted.members]
    for team in unknown:
        hint = fields.suggestion(team, wanted.members, "teams of governance.teams")
        report.at(node, f"{what}: unknown team {fields.shown(team)}", hint)
    for name in sorted({name for team in teams for name in wanted.members.get(team, ())}):
        if len(name) > MAX_MEMBER_CHARS:
            report.at(node, f"{what}: name of a member is too long (limit {MAX_MEMBER_CHARS} characters)")
    if not unknown and wanted.missing(set(teams), wanted.everybody()):
        hint = "list enough members under governance.teams: nobody counts for two teams at once"
        report.at(node, f"{what}: {', '.join(teams)} have too few members to approve it", hint)
