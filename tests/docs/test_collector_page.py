"""The configurations on the page about collectors follow what a real spool does: nothing is missed or read twice."""

import re
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from spooled import entry, new_spool

PAGE = (Path(__file__).parents[2] / "docs/how-to/send-decisions-to-a-collector.md").read_text(encoding="utf-8")
SPOOL = "/var/lib/writ/spool/"
VECTOR = tomllib.loads(re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0])
(FLUENT_BIT,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@dataclass
class Tail:
    """Follows the files that a glob matches, as such agents do: one that it has seen, by what names it, is read on."""

    folder: Path
    glob: str
    named_by: str
    read: dict[object, int] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)

    def look(self) -> None:
        for path in sorted(self.folder.iterdir()):
            if not fnmatch(str(path), str(self.folder / self.glob)):
                continue
            content = path.read_bytes()
            name = content.split(b"\n")[0] if self.named_by == "first line" else path.stat().st_ino
            begin = self.read.get(name, 0)
            end = content.rfind(b"\n") + 1
            self.lines += content[begin:end].splitlines()
            self.read[name] = end


def glob_of(include: str) -> str:
    assert include.startswith(SPOOL)
    return include.removeprefix(SPOOL)


def follow(tail: Tail) -> None:
    """Write segments, sealing some, while the tail looks now and then; it must see each line once, in order."""
    spool = new_spool(tail.folder)
    spool.open()
    expected: list[bytes] = []
    for number in range(40):
        spool.append(entry(str(number)))
        if number % 7 == 0:
            spool.seal()
        if number % 3 == 0:
            tail.look()
    spool.seal()
    tail.look()
    for path in sorted(tail.folder.glob("*.jsonl"), key=lambda path: path.name[:16]):
        expected += path.read_bytes().splitlines()
    spool.close()

    assert tail.lines == expected


def test_vector_follows_the_spool(tmp_path: Path) -> None:
    source = VECTOR["sources"]["writ"]
    (include,) = source["include"]

    assert source["fingerprint"] == {"strategy": "checksum", "lines": 1}
    assert source["read_from"] == "beginning"
    follow(Tail(tmp_path, glob_of(include), "first line"))


def test_fluent_bit_follows_the_spool(tmp_path: Path) -> None:
    (include,) = re.findall(r"^ +Path +(\S+)$", FLUENT_BIT, re.MULTILINE)

    assert re.search(r"^ +Read_from_Head +true$", FLUENT_BIT, re.MULTILINE)
    follow(Tail(tmp_path, glob_of(include), "inode"))


def test_agents_take_the_longest_record() -> None:
    from policy_core.decision_log.lines import MAX_LINE_BYTES

    assert VECTOR["sources"]["writ"]["max_line_bytes"] >= MAX_LINE_BYTES
    assert re.search(rf"^ +Buffer_Max_Size +{MAX_LINE_BYTES >> 20}M$", FLUENT_BIT, re.MULTILINE)
