"""Explanations in words: lines for people, made from the record that machines get."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Record: TypeAlias = Mapping[str, Any]

_MARKS = {"true": "✓", "false": "✗", "error": "!"}
_WORDS = {"true": "applies", "false": "does not apply", "error": "in error"}
_NO_PLACES: Mapping[str, str] = {}


def describe_explanation(record: Record, *, source: str, places: Mapping[str, str] = _NO_PLACES) -> Iterator[str]:
    """Yield an explanation as lines; `places` maps rules to *file:line*, `source` says which policies were asked."""
    yield from _answer(record["answer"], places)
    yield f"policies   {source}"
    yield ""
    if not record["rules"]:
        yield "no rule is about this action"
    for trace in record["rules"]:
        yield from describe_trace(trace, places.get(trace["rule"], ""))
    if record["hidden"]:
        yield f"… and {record['hidden']} more that apply or are in error"
    yield ""
    if record["suggestions"]:
        yield "another decision would come"
    else:
        yield "no small change was found that gives another decision"
    for suggestion in record["suggestions"]:
        yield f"    {suggestion['text']}"


def _answer(answer: Record, places: Mapping[str, str]) -> Iterator[str]:
    yield f"decision   {answer['decision']}"
    reason = answer.get("reason", "")
    yield f"because    {answer['reason_code']}{f': {reason}' if reason else ''}"
    rule = answer.get("matched_rule", "")
    if rule:
        yield f"rule       {rule}  {places.get(rule, '')}".rstrip()
    if "exception" in answer:
        yield f"exception  {answer['exception']}"
    for name, value in answer.get("constraints", {}).items():
        yield f"constraint {name}: {shown(value)}"
    for gate, word in answer.get("gates", {}).items():
        yield f"gate       {gate}: {word}"
    if "retry_after_s" in answer:
        yield f"wait       {answer['retry_after_s']:.1f} s"
    if "approval" in answer:
        for number, line in enumerate(describe_ask(answer["approval"])):
            yield f"{'' if number else 'approval':10} {line}"
    for remediation in answer.get("remediations", ()):
        yield f"instead    {remediation['title']}"
    if "dry_run" in answer:
        would = answer["dry_run"]
        by = f" by {would['matched_rule']}" if "matched_rule" in would else ""
        yield f"dry run    would be {would['decision']}{by}"
    for error in answer.get("errors", ()):
        yield f"error      {error['rule']}: {error['message']}"


def describe_ask(ask: Record) -> Iterator[str]:
    """Yield what is asked of whom, what is there of it, and what a grant has to name."""
    yield f"takes {_people(ask['from'])}; a grant is good for {ask['expires_in_s']} s at most"
    if "approvers" in ask:
        yield f"granted by {', '.join(map(shown, ask['approvers']))}"
    for refused in ask.get("refused", ()):
        yield f"grant {refused['grant'] + 1} is refused, {refused['reason_code']}: {refused['message']}"
    if "missing" in ask:
        yield f"still missing: {_people(ask['missing'])}"
        yield f"a grant is over these rules    {ask['rules_digest']}"
        yield f"a grant is over this request   {ask['request_digest']}"


def _people(counts: Mapping[str, int]) -> str:
    return " and ".join(f"{count} of {shown(team)}" for team, count in counts.items())


def describe_trace(record: Record, place: str) -> Iterator[str]:
    """Yield the lines that show one rule: whether it applies, then each clause with what it wants and what it saw."""
    kind = f"{record['decision']}, dry run" if record["dry_run"] else record["decision"]
    outcome = record["outcome"]
    lifted = f", but exception {record['exception']} switches it off" if "exception" in record else ""
    yield f"{_MARKS[outcome]} {record['rule']} ({kind}) {_WORDS[outcome]}{lifted}  {place}".rstrip()
    for clause in record["clauses"]:
        yield f"    {_MARKS[clause['outcome']]} {describe_clause(clause)}"
    unless = [clause["outcome"] for clause in record["clauses"] if clause["clause"].startswith("unless.")]
    if unless and set(unless) == {"true"}:
        yield "    the clauses of unless hold, so the rule does not apply"


def describe_clause(clause: Record) -> str:
    """Return one clause as a line: what it wants, what the request holds, or why it cannot be evaluated."""
    name, message = clause["clause"], clause.get("message", "")
    if name == "when":
        why = f" ({message})" if message else f", with {shown(clause['seen'])}" if clause["seen"] else ""
        return f"when: {clause['wanted']}{why}"
    if name == "rate":
        return _rate(clause)
    source = "it is" if name.endswith(".time") else "the request has"
    seen = message or f"{source} {shown(clause['seen'])}"
    wants = "does not want" if ".not." in name else "wants"
    return f"{name}: {wants} {shown(clause['wanted'])}, {seen}"


def _rate(clause: Record) -> str:
    wanted, message = clause["wanted"], clause.get("message", "")
    limit = f"{wanted['limit']} allowed requests in {wanted['window_s']} s with the same {' and '.join(wanted['key'])}"
    reached = message or f"{'' if clause['outcome'] == 'true' else 'not '}reached for {shown(clause['seen'])}"
    return f"rate: applies after {limit}, {reached}"


def shown(value: object) -> str:
    """Return a value of a rule or request as people read it, never with control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{shown(name)}: {shown(item)}" for name, item in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if type(value) is not str or (value and value.isprintable()) else ascii(value)
