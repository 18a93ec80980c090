"""The bundle format: reproducible to write, hostile-input-proof to read."""

from policy_core.bundle.archive import MAX_BUNDLE_BYTES, ArchiveError
from policy_core.bundle.bundle import (
    DATA,
    MATCHER,
    PROVISIONS,
    SELFTEST,
    Bundle,
    BundleError,
    build_bundle,
    read_bundle,
)

__all__ = [
    "DATA",
    "MATCHER",
    "MAX_BUNDLE_BYTES",
    "PROVISIONS",
    "SELFTEST",
    "ArchiveError",
    "Bundle",
    "BundleError",
    "build_bundle",
    "read_bundle",
]
