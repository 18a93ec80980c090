import re
from pathlib import Path

from builder.cli.main import INTERRUPTED, READER_GONE, main
from policy_core.errors import KnownError

PAGE = (Path(__file__).parents[2] / "docs/reference/exit-codes.md").read_text()


def documented_codes() -> list[int]:
    return [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]


def test_the_page_lists_exactly_the_codes_that_errors_have() -> None:
    kinds = {kind.exit_code for kind in KnownError.__subclasses__()}

    assert documented_codes() == sorted({0, 1, INTERRUPTED, READER_GONE} | kinds)


def test_a_wrong_option_is_a_usage_error_as_documented() -> None:
    assert main(["init", "--no-such-option"]) == 2
