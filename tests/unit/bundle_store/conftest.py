"""A proxy in front of the S3 servers, whose every answer and header a test may change."""

from collections.abc import Callable, Iterator

import pytest
import s3_proxy
import s3_servers


@pytest.fixture(params=s3_servers.EMULATORS)
def aws(request: pytest.FixtureRequest, s3_endpoints: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Point boto3 at each server whose requests a proxy may change: none checks signatures."""
    endpoint = s3_endpoints(request.param)
    s3_servers.use(endpoint, monkeypatch)
    return endpoint


@pytest.fixture
def proxy(bucket: str, aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_proxy.Proxy]:
    """Put a proxy between boto3 and the S3 server; the bucket exists."""
    with s3_proxy.proxying(aws) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def s3_error() -> Callable[[int, str], s3_proxy.Answer]:
    """Make the answers by which S3 reports an error."""
    return s3_proxy.s3_error
