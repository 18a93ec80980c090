"""``matcher.jsonl``: compiled rules as lines of at most 64 KiB, so that no step of loading one blocks for long.

Line one is a header ``{"format": 1, "rules": N}``; each further line is a JSON array of rules, in order.
"""

from collections.abc import Iterator, Sequence

import msgspec

from policy_core.attributes import check_path, check_tests
from policy_core.condition import check_condition
from policy_core.constraints import check_constraint
from policy_core.errors import InvalidError
from policy_core.grants import check_approval
from policy_core.model import CONSTRAINING, GRANTING, Clauses, Decision, Rule
from policy_core.rates import check_rate
from policy_core.windows import check_window

MAX_LINE_BYTES = 64 << 10
MAX_RULES = 1_000_000
_FORMAT = 1


class MatcherFormatError(InvalidError):
    """``matcher.jsonl`` is not what `encode_rules` writes."""

    default_hint = "build the bundle again with a builder of the same version"


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    rules: int


def encode_rules(rules: Sequence[Rule]) -> bytes:
    """Return the content of ``matcher.jsonl``; equal rules give equal bytes.

    Raises MatcherFormatError if one rule alone does not fit into a line.
    """
    encoder = msgspec.json.Encoder(order="deterministic")
    lines = [encoder.encode(_Header(_FORMAT, len(rules)))]
    line: list[bytes] = []
    length = 2
    for rule in rules:
        encoded = encoder.encode(rule)
        if len(encoded) + 2 > MAX_LINE_BYTES:
            raise MatcherFormatError(
                f"rule {rule.name}: too large (at most {MAX_LINE_BYTES - 2} bytes compiled, found {len(encoded)})",
                hint="split the rule, or move long lists into data/",
            )
        if line and length + len(encoded) + 1 > MAX_LINE_BYTES:
            lines.append(b"[" + b",".join(line) + b"]")
            line, length = [], 2
        line.append(encoded)
        length += len(encoded) + 1
    if line:
        lines.append(b"[" + b",".join(line) + b"]")
    return b"\n".join(lines) + b"\n"


def decode_rules(content: bytes) -> Iterator[list[Rule]]:
    """Yield the rules line by line, each checked: types, order, conditions, constraints.

    Raises MatcherFormatError for anything `encode_rules` would not have written.
    """
    lines = _lines(content)
    expected = _decode(next(lines), _Header)
    if expected.format != _FORMAT or not 0 <= expected.rules <= MAX_RULES:
        raise MatcherFormatError(f"matcher: unknown format {expected.format}, or too many rules ({expected.rules})")
    decoder = msgspec.json.Decoder(list[Rule])
    count, previous = 0, (False, "")
    for line in lines:
        if len(line) > MAX_LINE_BYTES:
            raise MatcherFormatError(f"matcher: a line is longer than {MAX_LINE_BYTES} bytes")
        rules = _decode_rules(decoder, line)
        for rule in rules:
            position = (not rule.baseline, rule.policy)
            if position < previous:
                raise MatcherFormatError(f"matcher: rule {rule.name}: out of order")
            previous = position
            _check(rule)
        count += len(rules)
        yield rules
    if count != expected.rules:
        raise MatcherFormatError(f"matcher: wrong number of rules (expected {expected.rules}, found {count})")


def _lines(content: bytes) -> Iterator[bytes]:
    """Yield line after line: split at once, a large policy would hold up every other thread."""
    if not content.endswith(b"\n"):
        raise MatcherFormatError("matcher: not terminated by a line end")
    start = 0
    while start < len(content):
        end = content.index(b"\n", start)
        yield content[start:end]
        start = end + 1


def _check(rule: Rule) -> None:
    if rule.when is not None:
        check_condition(rule.when)
    for clauses in (rule.match, rule.unless):
        if clauses is not None and (problem := clause_problem(clauses)):
            raise MatcherFormatError(f"matcher: rule {rule.name}: {problem}")
    if bool(rule.constraints) != (rule.decision in CONSTRAINING):
        raise MatcherFormatError(f"matcher: rule {rule.name}: constraints do not go with {rule.decision}")
    if problem := _rate_problem(rule) or _approval_problem(rule):
        raise MatcherFormatError(f"matcher: rule {rule.name}: {problem}")
    for name, value in rule.constraints.items():
        if found := check_constraint(name, value):
            raise MatcherFormatError(f"matcher: rule {rule.name}: {found[0]}")


def _rate_problem(rule: Rule) -> str:
    if rule.rate is None:
        return ""
    if rule.decision in GRANTING:
        return f"a rate does not go with {rule.decision}"
    found = check_rate(rule.rate)
    return found[0] if found else ""


def _approval_problem(rule: Rule) -> str:
    if rule.approval is None:
        return ""
    if rule.decision is not Decision.REQUIRE_APPROVAL:
        return f"an approval does not go with {rule.decision}"
    found = check_approval(rule.approval)
    return found[0] if found else ""


def clause_problem(clauses: Clauses) -> str:
    """Return why clauses cannot be compiled, empty if they can."""
    if clauses.time is not None and (problem := check_window(clauses.time)):
        return problem
    for path, tests in clauses.attributes.items():
        if found := check_path(path):
            return found[0]
        if problem := check_tests(tests):
            return f"{path}: {problem}"
    if clauses.none_of is None:
        return ""
    # one level, so that no bundle can nest closures deeper than the stack
    return "a not inside a not" if clauses.none_of.none_of is not None else clause_problem(clauses.none_of)


def _decode(line: bytes, kind: type[_Header]) -> _Header:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MatcherFormatError(f"matcher: header: {error}") from error


def _decode_rules(decoder: msgspec.json.Decoder[list[Rule]], line: bytes) -> list[Rule]:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MatcherFormatError(f"matcher: {error}") from error
