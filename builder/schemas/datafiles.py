"""Reference data held against its schema: every violation with its place in the data file."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from builder.language.codes import Code
from builder.language.locating import locate
from builder.language.nodes import Report
from builder.language.remembering import Remembered
from builder.schemas.declarations import Declarations, Source
from builder.schemas.shapes import path_text
from builder.schemas.validating import Validator

_CHECKED: Remembered[None] = Remembered()


def check_data(
    declarations: Declarations, files: Mapping[str, bytes], tree: Mapping[str, Any], overall: Report
) -> None:
    """Note every value of `tree`, read from the `files` below data/, that its schema does not let pass."""
    broken = {problem.file for problem in overall.problems}
    for name, source in declarations.data.items():
        file = next((path for path in (f"data/{name}.yaml", f"data/{name}.json") if path in files), None)
        if file is None:
            report = Report(source.file, overall.problems, overall.warnings, Code.UNUSABLE_FILE)
            report.file_problem(f"there is no data/{name}.yaml or .json that it describes", "rename or remove it")
        elif file not in broken:
            report = Report(file, overall.problems, overall.warnings)
            check = partial(_check_file, name, source, _value(tree, name))
            _CHECKED.read(check, files[file], report, beside=declarations.files)


def _check_file(name: str, source: Source, value: Any, content: bytes, report: Report) -> None:
    report = report.of(Code.INVALID_DATA)
    for found in Validator(source.document).findings(value):
        place = locate(report.file, content, found.path, at_key=found.at_key)
        where = path_text(f"data.{name.replace('/', '.')}", found.path)
        report.at(place, f"{where}: {found.message}", found.hint or f"see {source.file}")


def _value(tree: Mapping[str, Any], name: str) -> Any:
    value: Any = tree
    for step in name.split("/"):
        value = value[step]
    return value
