"""The import table of the project, read statically: every import statement of every module counts, wherever it stands.

Imports inside functions and under TYPE_CHECKING are found too; a package boundary is also a privilege boundary.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_host import running_host

ROOT = Path(__file__).parents[2]

# package -> what it may import: packages of ours, then other people's (a dotted name allows just that part)
ALLOWED = {
    "policy_core": (
        {"policy_core"},
        {"msgspec", "re2", "tuf.api", "securesystemslib", "cryptography.exceptions.InvalidSignature",
         "cryptography.hazmat.primitives.asymmetric.ed25519.Ed25519PublicKey"},
    ),
    "bundle_store": (
        {"policy_core", "bundle_store"},
        {"msgspec", "tuf", "securesystemslib", "boto3", "botocore", "urllib3"},
    ),
    "builder": (
        {"policy_core", "bundle_store", "builder"},
        {"msgspec", "tuf", "securesystemslib", "cel_expr_python", "click", "cryptography", "detect_secrets",
         "jinja2", "jsonschema", "pygit2", "re2", "referencing", "yaml"},
    ),
    "agent_sidecar": (
        {"policy_core", "bundle_store", "agent_sidecar"},
        {"msgspec", "tuf", "securesystemslib", "click", "httptools", "uvloop", "limits", "redis",
         "agents", "langchain_core", "mcp",  # in applications: the frameworks their agents are made with
         "cryptography.x509",  # when the certificate of its TLS ends
         "cryptography.hazmat.primitives.asymmetric.ed25519.Ed25519PrivateKey"},  # a host signs its log
    ),
}  # fmt: skip
# policy_core is a pure function of bytes, time and keys: no files, sockets, processes, clocks, chance or environment
IMPURE = {
    "asyncio", "ctypes", "fileinput", "ftplib", "getpass", "glob", "http", "mmap", "multiprocessing", "os", "pathlib",
    "platform", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3",
    "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
# what tests share ships beside the core, and is imported by nothing else that ships
TESTING = Path("policy_core/testing")
# the one place that imports by a name computed at run time: the lazy command table
DYNAMIC = {Path("builder/cli/main.py")}
# what a host's daemon must never load (no YAML, CEL, git or templates there; boto3 only for s3:// stores, re2 only for
# a rule with a regex, limits and redis only for a fleet store, and frameworks of agents in applications alone)
UNWANTED_ON_A_HOST = (
    "agents", "boto3", "botocore", "builder", "cel_expr_python", "jinja2", "langchain_core", "limits", "mcp", "pygit2",
    "re2", "redis", "yaml",
)  # fmt: skip
HARMLESS = frozenset({"threading.Lock"})
"""Names of such modules that do nothing by themselves: a lock keeps what threads share in one piece."""


def imported_names(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import; an import by a computed name is yielded as ``?``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: -(node.level - 1) or None]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"}:
                name = node.args[0] if node.args else None
                yield node.lineno, name.value if isinstance(name, ast.Constant) else "?"


def opens_a_file(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"


def violations(root: Path) -> list[str]:
    """Return every breach of the table below `root`, as *file:line: what*."""
    found = []
    for package, (ours, theirs) in ALLOWED.items():
        for path in sorted((root / package).rglob("*.py")):
            place = path.relative_to(root)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for line, name in imported_names(tree, ".".join(place.parent.parts)):
                top = name.split(".")[0]
                if name == "?":
                    allowed = place in DYNAMIC
                elif place.is_relative_to(TESTING) and top == "hypothesis":
                    allowed = True
                elif f"{name}.".startswith("policy_core.testing."):
                    allowed = place.is_relative_to(TESTING)
                elif top in sys.stdlib_module_names:
                    allowed = package != "policy_core" or top not in IMPURE or name in HARMLESS
                else:
                    allowed = top in ours or any(f"{name}.".startswith(f"{other}.") for other in theirs)
                if not allowed:
                    found.append(f"{place}:{line}: {package} must not import {name}")
            if package == "policy_core":
                found += [
                    f"{place}:{node.lineno}: policy_core must not open files"
                    for node in ast.walk(tree)
                    if opens_a_file(node)
                ]
    return found


def test_every_package_keeps_to_its_imports() -> None:
    assert violations(ROOT) == []


def test_every_package_was_read() -> None:
    for package in ALLOWED:
        assert list((ROOT / package).rglob("*.py")), package


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("policy_core/bad.py", "import socket"),
        ("policy_core/bad.py", "import urllib.request"),
        ("policy_core/bad.py", "from os import path"),
        ("policy_core/bad.py", "import yaml"),
        ("policy_core/bad.py", "def late():\n    import boto3"),
        ("policy_core/bad.py", "from tuf.ngclient import Updater"),
        ("policy_core/bad.py", "import builder.source"),
        ("policy_core/bad.py", "from hypothesis import strategies"),
        ("policy_core/bad.py", "from policy_core.testing import oracle"),
        ("builder/bad.py", "from policy_core.testing.oracle import decide"),
        ("policy_core/bad.py", "data = open('state.json').read()"),
        ("policy_core/deep/bad.py", "from ...bundle_store import port"),
        ("bundle_store/bad.py", "from agent_sidecar import cli"),
        ("bundle_store/bad.py", "import pygit2"),
        ("builder/bad.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from agent_sidecar import cli"),
        ("builder/cli/bad.py", "import importlib\nimportlib.import_module('agent_sidecar.cli')"),
        ("builder/cli/bad.py", "import importlib\nname = 'x'\nimportlib.import_module(name)"),
        ("agent_sidecar/bad.py", "import yaml"),
        ("agent_sidecar/bad.py", "from builder.language import cel"),
        ("agent_sidecar/bad.py", "def late():\n    import cel_expr_python"),
        ("agent_sidecar/bad.py", "import jinja2, click"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, module: str, source: str) -> None:
    (tmp_path / module).parent.mkdir(parents=True)
    (tmp_path / module).write_text(source)

    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("policy_core/good.py", "import hashlib, msgspec\nfrom tuf.api.metadata import Metadata"),
        ("policy_core/deep/good.py", "from . import sibling\nfrom ..model import Rule"),
        ("policy_core/testing/good.py", "from hypothesis import strategies\nfrom policy_core.testing import oracle"),
        ("agent_sidecar/good.py", "import tomllib, socket\nfrom bundle_store.port import Store"),
    ],
)
def test_what_the_table_allows_passes(tmp_path: Path, module: str, source: str) -> None:
    (tmp_path / module).parent.mkdir(parents=True)
    (tmp_path / module).write_text(source)

    assert violations(tmp_path) == []


def test_importing_all_of_the_sidecar_loads_nothing_a_host_must_not_have() -> None:
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "agent_sidecar").rglob("*.py")
        if path.name != "__main__.py"
    )
    code = "import sys, importlib\nfor name in sys.argv[2:]: importlib.import_module(name)\n"
    code += "print([name for name in sys.argv[1].split() if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code, " ".join(UNWANTED_ON_A_HOST), *names], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_a_sidecar_that_enforces_a_policy_has_loaded_nothing_a_host_must_not_have() -> None:
    with running_host("-X", "importtime") as host:
        pass

    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in host.log if line.startswith("import time:")}
    assert {"agent_sidecar", "tuf", "uvloop"} <= loaded
    # an import that was tried and prevented is listed too; boto3, if really loaded, would bring botocore
    assert loaded & set(UNWANTED_ON_A_HOST) - {"boto3"} == set()
