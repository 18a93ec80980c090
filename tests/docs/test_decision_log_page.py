"""The page of the decision log says how to check a segment without any program of ours."""

import re
import subprocess
import sys
from pathlib import Path

from written_logs import LogWriter

PAGE = Path(__file__).parents[2] / "docs/reference/decision-log.md"


def check(tmp_path: Path, content: bytes) -> int:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    segment = tmp_path / "segment.jsonl"
    segment.write_bytes(content)
    return subprocess.run([sys.executable, "-c", program, segment], check=False, stderr=subprocess.DEVNULL).returncode


def test_the_program_on_the_page_checks_a_segment(tmp_path: Path) -> None:
    content = LogWriter().write('"answer":{"decision":"deny"}', '"answer":{}').content

    assert check(tmp_path, content) == 0
    assert check(tmp_path, content.replace(b'"deny"', b'"okay"')) == 1


def test_all_flaws_are_on_the_page() -> None:
    from policy_core.decision_log.sequence import Flaw

    text = PAGE.read_text()

    assert [flaw for flaw in Flaw if f"| `{flaw}` |" not in text] == []
