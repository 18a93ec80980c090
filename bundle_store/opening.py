"""From a store URL to a store: ``s3://bucket/prefix``, ``file:///dir``, ``https://host/path``."""

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from bundle_store.port import RecordsStore, Store, WritableStore
from policy_core.errors import UsageError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


class StoreUrlError(UsageError):
    """The store URL is none of the three forms."""

    default_hint = "write s3://BUCKET/PREFIX, file:///DIRECTORY or, to read only, https://HOST/PATH"


def open_store(url: str) -> WritableStore:
    """Return the store to publish to; nothing is contacted yet, and boto3 is loaded for ``s3://`` only.

    Raises StoreUrlError.
    """
    return _open(url)


def _open(url: str) -> RecordsStore:
    parts = _split(url)
    if parts.scheme == "s3":
        from bundle_store.s3 import S3Store

        bucket, prefix = _bucket(url, parts)
        return S3Store(bucket, prefix, url=f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}")
    if parts.scheme == "file":
        from bundle_store.file import FileStore

        directory = _directory(url, parts)
        return FileStore(directory, url=directory.as_uri())
    if parts.scheme == "https":
        raise StoreUrlError(
            f"store {_shown(parts)}: an https store is read-only",
            hint="publish to the s3:// or file:// store behind it",
        )
    raise StoreUrlError(f"store {_shown(parts)}: unknown scheme {parts.scheme!r}")


def open_records(url: str) -> RecordsStore:
    """Return a store of hosts' records; otherwise as `open_store`."""
    return _open(url)


def open_reader(url: str) -> Store:
    """Return the store to read from, which may also be ``https://``; otherwise as `open_store`."""
    parts = _split(url)
    if parts.scheme != "https":
        return open_store(url)
    from bundle_store.https import HttpsStore

    if not parts.hostname or not url.isascii() or url.split() != [url]:
        raise StoreUrlError(f"store {_shown(parts)}: no host, or characters that no URL has")
    return HttpsStore(f"https://{parts.netloc}{parts.path.rstrip('/')}")


def open_foreign(url: str) -> Store:
    """Return a TUF repository, or a part of one, that need not be ours, over ``http://`` or ``https://``.

    Raises StoreUrlError.
    """
    from bundle_store.https import ForeignRepository

    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise StoreUrlError(f"repository {url}: not an address", hint="write http://HOST/PATH or https://…")
    return ForeignRepository(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a bad port raises here rather than on first use
    except ValueError as error:
        raise StoreUrlError("store: not a URL") from error
    if parts.username is not None or parts.password is not None:
        raise StoreUrlError(
            f"store {_shown(parts)}: credentials do not belong into the URL",
            hint="give credentials through the environment",
        )
    if parts.query or parts.fragment:
        raise StoreUrlError(f"store {_shown(parts)}: a store URL has no query and no fragment")
    return parts


def _bucket(url: str, parts: SplitResult) -> tuple[str, str]:
    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc):
        raise StoreUrlError(f"store {url}: {parts.netloc!r} is not a bucket name")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise StoreUrlError(f"store {url}: {prefix!r} is not a prefix of letters, digits, . _ - and /")
    return parts.netloc, prefix


def _directory(url: str, parts: SplitResult) -> Path:
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path.startswith("/") or "\0" in path:
        raise StoreUrlError(f"store {url}: not an absolute path (file:// has three slashes: file:///srv/policies)")
    directory = Path(path)
    if ".." in directory.parts:
        raise StoreUrlError(f"store {url}: the path climbs up with '..'")
    return directory


def _shown(parts: SplitResult) -> str:
    """Return the URL for messages: no user, password, query or fragment, which may be secret."""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
