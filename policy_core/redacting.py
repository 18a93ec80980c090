"""What of a decision its record holds: the policy's `LogRules`, compiled. Pure.

An erased attribute is gone from the record, and its path is named there. Where it cannot be told whether a rule
applies, it erases, and leaves nothing out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policy_core.attributes import check_path
from policy_core.decision import APPROVED, Answer
from policy_core.errors import InvalidError
from policy_core.matcher.clauses import Check, CheckCompiler
from policy_core.matcher.encoding import clause_problem
from policy_core.model import Clauses, Decision, LogRules
from policy_core.request import Request

ANY = "*"
EVERYTHING = ("*",)
"""What is erased where nobody can tell what may be kept."""
ROOTS = ("subject", "action", "resource", "context")

Parts = tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]
"""Subject, action, resource and context of a request."""


class LogRulesError(InvalidError):
    """The rules for the decision log are none that this version understands."""

    default_hint = "build the bundle again with a builder of the same version"


@dataclass(frozen=True, slots=True)
class _Erasing:
    path: str
    root: int
    names: tuple[str, ...]
    checks: tuple[Check, ...]


class Redactor:
    """Applies the rules of one policy; immutable, safe to share between threads."""

    def __init__(self, rules: LogRules, data: Mapping[str, Any]) -> None:
        """Compile the rules over a bundle's reference data. Raises LogRulesError."""
        compiler = CheckCompiler(data)
        self._erasing = tuple(_erasing(each.path, compiler.clause_checks(_sound(each.match))) for each in rules.erase)
        self._left_out = tuple(compiler.clause_checks(_sound(each)) for each in rules.leave_out)
        if not all(self._left_out):
            raise LogRulesError("log: an entry without clauses would leave out everything")

    def leaves_out(self, request: Request, answer: Answer) -> bool:
        """Tell whether a decision gets no record: only a plain allow ever does, one that nobody answers for."""
        return _is_plain(answer) and any(all(check(request) for check in checks) for checks in self._left_out)

    def redact(self, parts: Parts, request: Request) -> tuple[Parts, tuple[str, ...]]:
        """Return the parts of a request as a record holds them, and the paths of what was erased; none are altered."""
        kept: list[dict[str, Any]] = list(parts)
        erased = []
        for each in self._erasing:
            if any(check(request) is False for check in each.checks):
                continue
            found = _erased(kept[each.root], each.names)
            if found is not kept[each.root]:
                kept[each.root] = found
                erased.append(each.path)
        return (kept[0], kept[1], kept[2], kept[3]), tuple(erased)


def _is_plain(answer: Answer) -> bool:
    """Tell whether an answer is an allow by rules alone: no approval, no exception, no dry run that would not allow."""
    would = answer.dry_run.decision if answer.dry_run else Decision.ALLOW
    return (
        answer.decision is would is Decision.ALLOW
        and answer.reason_code != APPROVED
        and answer.approval is None
        and not answer.exception
    )


def path_problem(path: str) -> str:
    """Return what is wrong with the path of an erasure, empty if requests can have it."""
    root, *names = path.split(".")
    if root == "context" and names[:1] == ["grants"]:
        return "context.grants is never recorded: what grants say is, so that it can be told who approved"
    if ANY in root or any(ANY in name and name != ANY for name in names):
        return f"path {path[:80]!r}: * stands for a whole name"
    problem = check_path(".".join((root, *(name.replace(ANY, "x") for name in names))))
    return problem[0] if problem else ""


def _erasing(path: str, checks: tuple[Check, ...]) -> _Erasing:
    if problem := path_problem(path):
        raise LogRulesError(f"log: {problem}")
    root, *names = path.split(".")
    return _Erasing(path, ROOTS.index(root), tuple(names), checks)


def _sound(clauses: Clauses) -> Clauses:
    if problem := clause_problem(clauses):
        raise LogRulesError(f"log: {problem}")
    return clauses


def _erased(part: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = _without(part, names)
    except RecursionError:  # lists in lists in lists: all of it goes, and the rest of the request stays on record
        found = _without(part, names[:1])
    return found


def _without(value: Any, names: tuple[str, ...]) -> Any:
    """Return a value without what lies at a path in it: the very same one if nothing does.

    A name leads into every element of a list, too, so that no caller evades it by another form.
    """
    name, *rest = names
    if type(value) is list:
        if name == ANY and not rest:
            return [] if value else value
        found = [_without(each, tuple(rest) if name == ANY else names) for each in value]
        return found if any(new is not old for new, old in zip(found, value, strict=True)) else value
    if type(value) is not dict:
        return value
    at = list(value) if name == ANY else [name] if name in value else []
    if not rest:
        return {key: kept for key, kept in value.items() if key not in at} if at else value
    changed = {key: new for key in at if (new := _without(value[key], tuple(rest))) is not value[key]}
    return {**value, **changed} if changed else value
