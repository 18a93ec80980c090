"""What became of a file, for people and for machines."""

from collections.abc import Iterator
from typing import Any

import msgspec

from builder.importing.importer import Imported, describe_change
from builder.importing.proving import describe_proof


def describe_import(imported: Imported) -> Iterator[str]:
    """Yield lines: what is refused; or what each rule became, what changed in meaning, and how it compares."""
    if imported.refused:
        yield from _describe_refusals(imported)
        return
    source, proof = imported.source, imported.proof
    if source is None or proof is None:
        return
    count = _count(len(imported.rules), "rule")
    yield f"{imported.file}: {_count(len(source.rules), 'rule')} tried in order become {count} in any order"
    yield "mapped:"
    for number, rule in enumerate(source.rules):
        became = [made for made in imported.rules if made.source == number]
        names = ", ".join(made.id for made in became) or "nothing"
        excepts = became[0].excepts if became else ()
        note = f", except where {', '.join(excepts)} decided" if excepts else ""
        yield f"  line {rule.place.line}: {rule.id} ({rule.decision}) -> {names}{note}"
    if imported.changes:
        yield "changed in meaning, or worth a look:"
        for change in imported.changes:
            yield f"  {imported.file}:{change.line}:{change.column}: {describe_change(change)}"
    yield "compared:"
    yield from (f"  {line}" for line in describe_proof(proof, examples=True))


def import_record(imported: Imported) -> dict[str, Any]:
    """Return the same as a JSON object."""
    source, proof = imported.source, imported.proof
    record: dict[str, Any] = {"file": imported.file, "policy": imported.policy}
    record["refused"] = [msgspec.to_builtins(problem) for problem in imported.refused]
    record["rules"] = [
        {
            "id": rule.id,
            "line": rule.place.line,
            "decision": rule.decision,
            "became": [made.id for made in imported.rules if made.source == number],
            "excepts": sorted({name for made in imported.rules if made.source == number for name in made.excepts}),
        }
        for number, rule in enumerate(source.rules if source else ())
    ]
    record["changes"] = [msgspec.to_builtins(change) for change in imported.changes]
    record["proof"] = None
    if proof is not None:
        record["proof"] = {
            "equal": not proof.differences,
            "requests": proof.requests,
            "combinations": proof.combinations,
            "exhaustive": proof.exhaustive,
            "rate_states": proof.rate_states,
            "differing": proof.differing,
            "decisions": dict(sorted(proof.decisions.items())),
            "differences": [msgspec.to_builtins(difference) for difference in proof.differences],
        }
    return record


def _describe_refusals(imported: Imported) -> Iterator[str]:
    for problem in imported.refused:
        yield f"{problem.where}: error: {problem.message} [{problem.code}]"
        if problem.hint:
            yield f"    hint: {problem.hint}"
    yield f"{imported.file}: {_count(len(imported.refused), 'problem')}, nothing imported"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
