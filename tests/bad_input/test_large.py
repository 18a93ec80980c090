"""Files that are far too large: refused by name, in little time and memory."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.source import MAX_FILE_BYTES

MAX_RESIDENT_MB = 400
LINT = """
import sys
from builder.cli.main import main
code = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(code, int(peak.split()[1]) // 1024)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")


def lint(folder: Path, *arguments: str) -> tuple[str, int, int]:
    """Return what `writ -C FOLDER lint` says, its exit code, and the most memory it had, in MB."""
    command = [sys.executable, "-c", LINT, "-C", str(folder), "lint", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    *lines, last = said.stdout.splitlines()
    code, memory_mb = map(int, last.split())
    return "\n".join(lines), code, memory_mb


@pytest.mark.parametrize("where", [(), ("HEAD",)], ids=["work tree", "commit"])
def test_a_file_of_fifty_megabytes_is_refused_unread(
    policy_repository: Callable[..., "GitFolder"],  # noqa: F821
    where: tuple[str, ...],
) -> None:
    folder = policy_repository("file:///srv/store")
    size = 50 * 2**20
    folder.commit({"data/big.yaml": "a: 1\n" * (size // 5)})

    said, code, memory_mb = lint(folder.path, *where)

    assert f"data/big.yaml: error: file is too large ({size} bytes, limit {MAX_FILE_BYTES})" in said
    assert code == 3
    assert memory_mb < MAX_RESIDENT_MB


def test_a_corpus_that_unpacks_to_a_gigabyte_is_not_unpacked(
    policy_repository: Callable[..., "GitFolder"],  # noqa: F821
) -> None:
    folder = policy_repository("file:///srv/store")
    file = folder.path / "corpus/a.jsonl.gz"
    file.parent.mkdir(exist_ok=True)
    with gzip.open(file, "wb", compresslevel=1) as stream:
        for _ in range(1024):
            stream.write(bytes(2**20))

    _, _, memory_mb = lint(folder.path)

    assert memory_mb < MAX_RESIDENT_MB
