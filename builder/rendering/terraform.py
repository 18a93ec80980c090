"""The store's bucket and everybody's role as a Terraform configuration, in its JSON form."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from builder.rendering.access import Kind, Place, Principal, bucket_policy, policy_of
from builder.rendering.trusting import AUDIENCE, ISSUER, SERVICES, SUBJECT, TAGGED, people_of

_STORE = "store"
_BUCKET = f"${{aws_s3_bucket.{_STORE}.id}}"
_NAME_PREFIX_CHARS = 38  # of a role, without the suffix that makes it unique


def configuration(name: str, bucket: str, prefix: str, everybody: Sequence[Principal]) -> dict[str, Any]:
    """Return the configuration for the store of the policy repository called `name`."""
    place = Place(bucket, prefix, partition="${data.aws_partition.current.partition}")
    machines = [principal for principal in everybody if Kind.MACHINE in principal.kinds]
    return {
        "//": f"Store of {name}, with the least rights for each who reaches it. "
        f"The account needs an OIDC provider for {ISSUER}.",
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
        "variable": _variables(everybody),
        "data": {
            "aws_caller_identity": {"current": {}},
            "aws_partition": {"current": {}},
            "aws_iam_policy_document": {
                p.name: {"statement": [_trust(p, kind) for kind in p.kinds]} for p in everybody
            },
        },
        "resource": {
            "aws_s3_bucket": {_STORE: {"bucket": bucket, "lifecycle": {"prevent_destroy": True}}},
            "aws_s3_bucket_versioning": {
                _STORE: {"bucket": _BUCKET, "versioning_configuration": {"status": "Enabled"}}
            },
            "aws_s3_bucket_public_access_block": {
                _STORE: {
                    "bucket": _BUCKET,
                    "block_public_acls": True,
                    "block_public_policy": True,
                    "ignore_public_acls": True,
                    "restrict_public_buckets": True,
                }
            },
            "aws_s3_bucket_ownership_controls": {
                _STORE: {"bucket": _BUCKET, "rule": {"object_ownership": "BucketOwnerEnforced"}}
            },
            "aws_s3_bucket_policy": {_STORE: {"bucket": _BUCKET, "policy": _text(bucket_policy(place))}},
            "aws_iam_policy": {
                p.name: {
                    "name_prefix": _name_prefix(p),
                    "description": f"Writ: {p.purpose}",
                    "policy": _text(policy_of(p, place)),
                }
                for p in everybody
            },
            "aws_iam_role": {
                p.name: {
                    "name_prefix": _name_prefix(p),
                    "description": f"Writ: {p.purpose}",
                    "assume_role_policy": f"${{data.aws_iam_policy_document.{p.name}.json}}",
                }
                for p in everybody
            },
            "aws_iam_role_policy_attachment": {
                p.name: {
                    "role": f"${{aws_iam_role.{p.name}.name}}",
                    "policy_arn": f"${{aws_iam_policy.{p.name}.arn}}",
                }
                for p in everybody
            },
            "aws_iam_instance_profile": {
                p.name: {"name_prefix": _name_prefix(p), "role": f"${{aws_iam_role.{p.name}.name}}"} for p in machines
            },
        },
        "output": {
            f"{p.name}_role": {"description": p.purpose, "value": f"${{aws_iam_role.{p.name}.arn}}"} for p in everybody
        },
    }


def _variables(everybody: Sequence[Principal]) -> dict[str, Any]:
    repository = {"type": "string", "description": "OWNER/NAME of the policy repository on GitHub"}
    people = {
        people_of(principal): {
            "type": "list(string)",
            "description": f"ARNs of those who may take the role that {principal.purpose}",
        }
        for principal in everybody
        if Kind.PERSON in principal.kinds
    }
    return {"repository": repository} | people


def _trust(principal: Principal, kind: Kind) -> dict[str, Any]:
    if kind is Kind.MACHINE:
        return {"actions": TAGGED, "principals": {"type": "Service", "identifiers": SERVICES}}
    if kind is Kind.PERSON:
        people = f"${{var.{people_of(principal)}}}"
        return {"actions": ["sts:AssumeRole"], "principals": {"type": "AWS", "identifiers": people}}
    account = "${data.aws_caller_identity.current.account_id}"
    provider = f"arn:${{data.aws_partition.current.partition}}:iam::{account}:oidc-provider/{ISSUER}"
    wanted = {"aud": AUDIENCE, "sub": SUBJECT.format("${var.repository}")}
    return {
        "actions": ["sts:AssumeRoleWithWebIdentity"],
        "principals": {"type": "Federated", "identifiers": [provider]},
        "condition": [
            {"test": "StringEquals", "variable": f"{ISSUER}:{claim}", "values": [value]}
            for claim, value in wanted.items()
        ],
    }


def _name_prefix(principal: Principal) -> str:
    return f"writ-{principal.name}"[: _NAME_PREFIX_CHARS - 1] + "-"


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2)
