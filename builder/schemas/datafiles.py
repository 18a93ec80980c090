"""Reference data held against its schema: every violation with its place in the data file."""

from collections.abc import Mapping
from typing import Any

from builder.language.codes import Code
from builder.language.locating import locate
from builder.language.nodes import Report
from builder.schemas.declarations import Declarations
from builder.schemas.shapes import path_text
from builder.schemas.validating import Validator


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
            report = Report(file, overall.problems, overall.warnings, Code.INVALID_DATA)
            for found in Validator(source.document).findings(_value(tree, name)):
                place = locate(file, files[file], found.path, at_key=found.at_key)
                root = f"data.{name.replace('/', '.')}"
                report.at(place, f"{path_text(root, found.path)}: {found.message}", found.hint or f"see {source.file}")


def _value(tree: Mapping[str, Any], name: str) -> Any:
    value: Any = tree
    for step in name.split("/"):
        value = value[step]
    return value
