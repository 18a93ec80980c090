"""Lowers the CEL text of ``when`` to the condition IR: checked by a CEL library, then held to our profile.

What the library accepts and the profile (docs/reference/conditions.md) does not is refused with its place, as is a name
that can only be absent: a host then never meets anything it does not know.
"""

import functools
from typing import Any, Final, NamedTuple, cast

from cel_expr_python import cel

from builder.language.cel_messages import library_problems
from builder.language.checked_ast import Ast, AstFormatError
from builder.language.lowering import Lowering
from policy_core.condition import ROOTS, ConditionFormatError, check_condition
from policy_core.errors import InvalidError
from policy_core.model import Condition

MAX_SOURCE_BYTES: Final = 4096
"""UTF-8 bytes of one condition."""
_CACHED_CONDITIONS = 4096


class CelProblem(NamedTuple):
    """One thing wrong with a condition; `offset` counts code points from the start of the source."""

    offset: int
    message: str
    hint: str


class CelError(InvalidError):
    """A condition is not valid; `complaints` are all of them, in the order of the source."""

    def __init__(self, problems: list[CelProblem]) -> None:
        self.complaints = tuple(problems)
        super().__init__("; ".join(f"offset {problem.offset}: {problem.message}" for problem in self.complaints))


@functools.lru_cache(maxsize=_CACHED_CONDITIONS)
def lower(source: str) -> Condition:
    """Return the IR of a CEL condition, not to be changed as it is shared; raises CelError with all problems."""
    _check_source(source)
    try:
        compiled = _environment().compile(source)
    except RuntimeError as error:  # all the library raises for a bad source
        raise CelError(_problems_of_rejected(source, str(error))) from error
    try:
        ast = Ast(compiled.serialize())
    except AstFormatError as error:
        raise CelError([CelProblem(0, f"cannot be read back from the CEL library: {error}", "")]) from error
    lowering = Lowering(source, ast)
    node = lowering.condition()
    problems = [*lowering.problems, *_not_boolean(compiled.return_type())]
    if isinstance(node, bool):
        problems.append((0, f"is always {node}".lower(), "leave when out, or leave the rule out"))
    if problems:
        raise CelError(_sorted(problems))
    try:
        check_condition(node)
    except ConditionFormatError as error:
        raise CelError(
            [CelProblem(0, error.message.removeprefix("condition: "), "split it into several rules")]
        ) from error
    return cast("Condition", node)


def variable_offsets(source: str) -> list[int]:
    """Return where a valid condition reads its variables (code points), in the order of its IR."""
    lowering = Lowering(source, Ast(_environment().compile(source).serialize()))
    lowering.condition()
    return lowering.variable_offsets()


def _check_source(source: str) -> None:
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        raise CelError([CelProblem(error.start, "a lone surrogate is no character", "")]) from error
    if size > MAX_SOURCE_BYTES:
        hint = "split it into several rules, or move long lists into data/"
        raise CelError([CelProblem(0, f"is {size} bytes long (at most {MAX_SOURCE_BYTES})", hint)])


@functools.cache
def _environment() -> Any:
    """Return the CEL environment: the variables of a condition, typed so that many mistakes are type errors."""
    types = cel.Type
    anything = types.Map(types.STRING, types.DYN)
    special = {"host": types.Map(types.STRING, types.STRING), "now": types.TIMESTAMP}
    return cel.NewEnv(variables={name: special.get(name, anything) for name in ROOTS})


def _problems_of_rejected(source: str, report: str) -> list[CelProblem]:
    """Return the library's complaints and, where the source could at least be parsed, those of our profile."""
    found, parsed = library_problems(source, report), []
    try:
        ast = Ast(_environment().compile(source, disable_check=True).serialize())
    except (RuntimeError, AstFormatError):
        pass  # not parsed: the library has said why
    else:
        lowering = Lowering(source, ast)
        lowering.condition()
        parsed = lowering.problems
        # The walk finds every unknown name too, with a better place and hint.
        places = {offset for offset, _, _ in parsed}
        found = [problem for problem in found if problem[0] not in places and not problem[1].startswith("unknown name")]
    return _sorted([*parsed, *found])


def _not_boolean(kind: Any) -> list[tuple[int, str, str]]:
    if kind == cel.Type.BOOL:
        return []
    if kind == cel.Type.DYN:
        return [(0, "is not certain to be a boolean", "compare it, for instance with == true")]
    return [(0, f"gives {kind.name().lower()}, not a boolean", "a condition is true or false: compare the value")]


def _sorted(problems: list[tuple[int, str, str]]) -> list[CelProblem]:
    return [CelProblem(*problem) for problem in sorted(set(problems))]
