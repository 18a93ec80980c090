"""Verifying loads no signing library; an S3 store still can."""

import subprocess
import sys


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_tuf_is_loaded_without_boto3() -> None:
    code = "import sys, agent_sidecar.snapshots as _; print(*{'securesystemslib.signer', 'boto3'} & set(sys.modules))"

    assert python(code) == "securesystemslib.signer"


def test_boto3_can_be_imported_afterwards() -> None:
    code = """
import sys, agent_sidecar.lean_imports as lean, boto3
print(boto3.__name__, [finder for finder in sys.meta_path if type(finder).__module__ == lean.__name__])
"""

    assert python(code) == "boto3 []"
