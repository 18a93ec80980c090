"""A store in an S3 bucket (``s3://bucket/prefix``), on AWS or any compatible server.

Endpoint, region and credentials come from boto3's own chain. Reads are retried a little by botocore. Conditional writes
are sent exactly once: a repeated one would meet its own object and report a success as a lost race. Whoever gets
`StoreUnavailableError` from `put` reads back and compares.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from urllib3.exceptions import HTTPError as Urllib3Error

from bundle_store.names import cache_control, check_name, content_type, is_name
from bundle_store.port import (
    STALE_ETAG,
    ListedObject,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreDeniedError,
    StoredObject,
    StoreUnavailableError,
)

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
READ_ATTEMPTS = 3
LISTING_PAGE = 1_000  # S3 gives no more at once

_CREDENTIALS_HINT = (
    "check the credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or any source boto3 knows"
)
_ENDPOINT_HINT = "check the network, AWS_ENDPOINT_URL and AWS_REGION"
_HINTS = {
    "NoSuchBucket": "create the bucket, or correct `store` in writ.yaml; other servers than AWS need AWS_ENDPOINT_URL",
    "AccessDenied": "the credentials need s3:GetObject, s3:ListBucket (else what is missing looks forbidden) "
    "and, to write, s3:PutObject: `writ render access` makes roles with these rights",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
    "NotImplemented": "this server does not know conditional writes; Writ needs them",
}
_TRY_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})


class S3Store:
    """A `RecordsStore` in one bucket below one prefix; connects on first use."""

    def __init__(self, bucket: str, prefix: str, *, url: str) -> None:
        self.url = url
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return the object, or None if its ETag is still `unless_etag`; raises as `Store.get`."""
        condition = {"IfNoneMatch": unless_etag} if unless_etag else {}
        try:
            answer = self._reader.get_object(Bucket=self._bucket, Key=self._key(name), **condition)
            with answer["Body"] as stream:
                body: bytes = stream.read(max_bytes + 1)
        except ClientError as error:
            if _status(error) == HTTPStatus.NOT_MODIFIED:
                return None
            self._refuse(name, error)
        except (BotoCoreError, Urllib3Error, OSError) as error:
            self._fail(name, error)
        if len(body) > max_bytes:
            raise ObjectTooLargeError(f"{self.url}: {name} is longer than {max_bytes} bytes")
        if len(body) != answer.get("ContentLength", len(body)):  # the connection ended early
            raise StoreUnavailableError(f"{self.url}: {name}: the answer was cut off after {len(body)} bytes")
        return StoredObject(body=body, etag=answer["ETag"], notes=answer.get("Metadata", {}))

    def listing(self, start: str = "", *, after: str = "") -> Iterator[ListedObject]:
        """Yield objects by name, page by page; raises as `RecordsStore.listing`."""
        pages = self._reader.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=self._prefix + start,
            PaginationConfig={"PageSize": LISTING_PAGE},
            **({"StartAfter": self._prefix + after} if after else {}),
        )
        try:
            for page in pages:
                for found in page.get("Contents", ()):
                    name = found["Key"].removeprefix(self._prefix)
                    if is_name(name):
                        yield ListedObject(name, found["Size"])
        except ClientError as error:
            self._refuse(f"{start}*", error)
        except (BotoCoreError, Urllib3Error, OSError) as error:
            self._fail(f"{start}*", error)

    def put(self, name: str, body: bytes, *, if_etag: str | None, notes: Mapping[str, str] | None = None) -> str:
        """Write the object under the condition and return its ETag; raises as `RecordsStore.put`."""
        extra = {"Metadata": dict(notes)} if notes else {}
        if if_etag is None:
            return self._put(name, body, {"IfNoneMatch": "*"}, extra)
        try:
            return self._put(name, body, {"IfMatch": if_etag}, extra)
        except PreconditionFailedError:
            bare = if_etag.strip('"')
            if if_etag in {bare, STALE_ETAG}:
                raise
            # Ceph (seen with 16.2) compares the header with the bare digest. 412 means that nothing was written, so
            # a second condition is as safe as the first; everybody else answers 412 again.
            return self._put(name, body, {"IfMatch": bare}, extra)

    def _put(self, name: str, body: bytes, condition: dict[str, str], extra: Mapping[str, Any]) -> str:
        try:
            answer = self._writer.put_object(
                Bucket=self._bucket,
                Key=self._key(name),
                Body=body,
                CacheControl=cache_control(name),
                ContentType=content_type(name),
                **condition,
                **extra,
            )
        except ClientError as error:
            missing = _status(error) == HTTPStatus.NOT_FOUND and _code(error) != "NoSuchBucket"
            if _status(error) == HTTPStatus.PRECONDITION_FAILED or missing:
                found = "exists already" if "IfNoneMatch" in condition else "is gone" if missing else "changed"
                raise PreconditionFailedError(f"{self.url}: {name} {found}") from error
            self._refuse(name, error)
        except (BotoCoreError, Urllib3Error, OSError) as error:
            self._fail(name, error)
        etag: str = answer["ETag"]
        return etag

    @cached_property
    def _reader(self) -> Any:
        return self._client(READ_ATTEMPTS)

    @cached_property
    def _writer(self) -> Any:
        return self._client(1)

    @cached_property
    def _session(self) -> Any:
        return boto3.session.Session()

    def _client(self, attempts: int) -> Any:
        """Create a client; path style wherever the endpoint is not AWS, whose names other servers do not resolve."""
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            # Newer default checksums are refused by some compatible servers; TUF verifies what matters.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            client = self._session.client("s3", config=config)
            if ".amazonaws.com" not in client.meta.endpoint_url:
                config = config.merge(Config(s3={"addressing_style": "path"}))
                client = self._session.client("s3", config=config)
        except (BotoCoreError, ValueError) as error:
            self._fail("configuration", error)
        return client

    def _key(self, name: str) -> str:
        return self._prefix + check_name(name)

    def _refuse(self, name: str, error: ClientError) -> NoReturn:
        """Convert an answer with an error status."""
        status, code = _status(error), _code(error)
        if status == HTTPStatus.NOT_FOUND and code != "NoSuchBucket":
            raise ObjectNotFoundError(f"{self.url}: {name} is not there") from error
        if (status in _TRY_LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR) and code != "NotImplemented":
            raise StoreUnavailableError(f"{self.url}: {name}: the store answered {status} {code}") from error
        hint = _HINTS.get(code, _CREDENTIALS_HINT)
        raise StoreDeniedError(f"{self.url}: {name}: the store answered {status} {code}", hint=hint) from error

    def _fail(self, name: str, error: Exception) -> NoReturn:
        """Convert a failure without an answer."""
        if isinstance(error, NoCredentialsError | PartialCredentialsError | ProfileNotFound):
            raise StoreDeniedError(f"{self.url}: {_first_line(error)}", hint=_CREDENTIALS_HINT) from error
        if isinstance(error, NoRegionError | ValueError):
            raise StoreDeniedError(f"{self.url}: {_first_line(error)}", hint=_ENDPOINT_HINT) from error
        hint = _ENDPOINT_HINT if isinstance(error, EndpointConnectionError) else ""
        raise StoreUnavailableError(f"{self.url}: {name}: {_first_line(error)}", hint=hint) from error


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _code(error: ClientError) -> str:
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].partition("?")[0].rstrip(".").strip()  # no query strings: they may carry signatures
