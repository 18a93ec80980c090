"""Exceptions that are over, soon will be, or switch off nothing that another one does not."""

import datetime
from collections.abc import Iterator

from builder.language.codes import Code
from builder.language.exceptions import ExceptionDocument
from builder.language.locating import locate
from builder.linting.covering import CoverIndex
from builder.linting.facets import Facets, clause_facets
from builder.linting.inspection import Inspection
from policy_core.errors import Problem

EXPIRING_DAYS = 7
"""From how many days before its end on an exception is worth a warning: fewer than for policies, it lives shorter."""
_DAY_S = 86_400


def find_ending(inspection: Inspection) -> Iterator[Problem]:
    """Yield each exception that has ended or ends within days."""
    today = datetime.datetime.combine(inspection.today, datetime.time(), datetime.UTC).timestamp()
    for document in inspection.compiled.exceptions:
        expires = document.exception.expires
        last = datetime.datetime.fromtimestamp(expires - 1, datetime.UTC).date()
        if expires <= today:
            message, hint = f"exception ended on {last} and switches off nothing", "remove the file: git remembers it"
            yield _finding(inspection, document, "expires", Code.EXPIRED_EXCEPTION, message, hint)
        elif (last - inspection.today).days <= EXPIRING_DAYS:
            hint = "have it renewed, or see to it that nobody needs it any more"
            message = f"exception ends on {last}; after that its rules hold again"
            yield _finding(inspection, document, "expires", Code.EXPIRING_EXCEPTION, message, hint)


def find_shadowed(inspection: Inspection) -> Iterator[Problem]:
    """Yield each exception whose rules, scope and time another one includes.

    Of two that are equal the one in the later file is named.
    """
    exceptions = inspection.compiled.exceptions
    index = CoverIndex((_facets(document), document) for document in exceptions)
    position = {document.file: number for number, document in enumerate(exceptions)}
    for document in exceptions:
        for other in index.covering(_facets(document)):
            if _outlives(other, document, equal_wins=position[other.file] < position[document.file]):
                message = f"exception switches off nothing that {other.exception.id} ({other.file}) does not"
                yield _finding(inspection, document, "id", Code.SHADOWED_EXCEPTION, message, "remove one of them")
                break


def _facets(document: ExceptionDocument) -> Facets:
    """Return what an exception is about; it covers another only if it names all rules the other does."""
    return {("any", "rules"): frozenset(document.exception.rules), **clause_facets(document.exception.scope)}


def _outlives(other: ExceptionDocument, document: ExceptionDocument, *, equal_wins: bool) -> bool:
    if other is document:
        return False
    theirs, ours = other.exception, document.exception
    if theirs.starts > ours.starts or theirs.expires < ours.expires:
        return False
    same = (theirs.starts, theirs.expires, _facets(other)) == (ours.starts, ours.expires, _facets(document))
    return equal_wins or not same


def _finding(
    inspection: Inspection, document: ExceptionDocument, key: str, code: Code, message: str, hint: str
) -> Problem:
    place = locate(document.file, inspection.compiled.tree.files[document.file], (key,))
    return Problem(document.file, place.line, place.column, message, hint, code)
