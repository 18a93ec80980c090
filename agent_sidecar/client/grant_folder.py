"""A folder in which requests wait for approvers, and grants for requests.

For each request that asks there is a folder with ``request.json`` and ``answer.json``: what ``writ grant`` takes. What
it prints goes into a file of that folder whose name ends in ``.grant``. Who can write there can approve nothing: a
grant is good for the one request it was signed for.
"""

import hashlib
from pathlib import Path

import msgspec

from agent_sidecar.client.obeying import Asked
from agent_sidecar.durable import StateError, make_directory, read_file, write_file
from policy_core.decision import Ask
from policy_core.grants import MAX_GRANT_CHARS, MAX_GRANTS

SUFFIX = ".grant"
_MAX_FILES = 256


class GrantFolder:
    """Where grants come from: a source for `guard`."""

    def __init__(self, path: str | Path) -> None:
        """Use a folder, which is made if it does not exist; its group may read what is asked."""
        self._path = Path(path)

    def __call__(self, asked: Asked) -> list[str]:
        """Return the grants that lie there for a request, newest files first, after writing down what is asked.

        Raises StateError if the disk refuses.
        """
        if asked.answer.approval is None:
            return []
        folder = self.folder(asked.answer.approval)
        make_directory(self._path, group_reads=True)
        make_directory(folder, group_reads=True)
        for name, content in (("request.json", asked.request), ("answer.json", asked.answer)):
            if not (folder / name).exists():
                write_file(folder / name, msgspec.json.format(msgspec.json.encode(content)), group_reads=True)
        return _grants(folder)

    def folder(self, ask: Ask) -> Path:
        """Return the folder of what is asked."""
        about = f"{ask.rules_digest} {ask.request_digest} {ask.audience}"
        return self._path / hashlib.sha256(about.encode()).hexdigest()[:16]


def _grants(folder: Path) -> list[str]:
    found: list[tuple[float, str]] = []
    for file in sorted(folder.glob(f"*{SUFFIX}"))[:_MAX_FILES]:
        try:
            content = read_file(file, max_bytes=MAX_GRANTS * MAX_GRANT_CHARS)
            changed = file.stat().st_mtime
        except (StateError, OSError):  # not a file of grants, or gone: as if it were not there
            continue
        found += [(changed, line) for line in content.decode("utf-8", "replace").split() if line.startswith("writ1.")]
    found.sort(key=lambda each: each[0], reverse=True)
    return [line for _, line in found][:MAX_GRANTS]
