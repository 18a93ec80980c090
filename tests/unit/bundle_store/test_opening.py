import subprocess
import sys
from pathlib import Path

import pytest

from bundle_store.file import FileStore
from bundle_store.opening import StoreUrlError, open_reader, open_store


def test_each_scheme_opens_its_store() -> None:
    assert open_store("s3://bucket/a/b/").url == "s3://bucket/a/b"
    assert open_store("s3://bucket").url == "s3://bucket"
    assert open_store("file:///srv/a%20b").url == "file:///srv/a%20b"
    assert open_reader("https://cdn.example.com:8443/policies/").url == "https://cdn.example.com:8443/policies"
    assert open_reader("file:///srv").url == "file:///srv"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "unknown scheme"),
        ("http://example.com", "unknown scheme 'http'"),
        ("ftp://example.com", "unknown scheme 'ftp'"),
        ("s3://", "not a bucket name"),
        ("s3://Bucket_X/a", "not a bucket name"),
        ("s3://bucket/a/../b", "not a prefix"),
        ("s3://bucket/a b", "not a prefix"),
        ("file://host/srv", "not an absolute path"),
        ("file:srv", "not an absolute path"),
        ("file:///srv/%2e%2e/etc", "climbs up"),
        ("s3://key:secret@bucket/a", "credentials do not belong"),
        ("s3://bucket/a?token=secret", "no query"),
        ("https://example.com:99999/", "not a URL"),
    ],
)
def test_a_url_of_no_form_is_refused(url: str, message: str) -> None:
    with pytest.raises(StoreUrlError, match=message) as raised:
        open_store(url)
    assert "secret" not in raised.value.message
    assert raised.value.hint


def test_an_https_store_cannot_be_published_to() -> None:
    with pytest.raises(StoreUrlError, match="read-only"):
        open_store("https://example.com/policies")


def test_file_store_writes_where_the_url_says(tmp_path: Path) -> None:
    store = open_store((tmp_path / "a store").as_uri())

    store.put("metadata/x.json", b"x", if_etag=None)

    assert isinstance(store, FileStore)
    assert (tmp_path / "a store" / "metadata" / "x.json").read_bytes() == b"x"


def test_boto3_is_loaded_for_s3_only() -> None:
    code = (
        "import sys; from bundle_store.opening import open_reader;"
        "open_reader('file:///srv'); open_reader('https://example.com'); print('boto3' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
