"""What every resource of ours has to keep, as rules that look at one resource and say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.deploy.templates import Resource, both_branches, listed, statements

Rule = Callable[[Resource], Iterator[str]]
Properties = Mapping[str, Any]

NO_RESOURCE = {
    "cloudwatch:PutMetricData",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
"""Actions that cannot be narrowed to a resource, or not by anybody who does not know the machine's id beforehand.

(Service Authorization Reference; Systems Manager User Guide, "Create a custom IAM role for Session Manager".)
"""
HOLD_DATA = {"AWS::S3::Bucket", "AWS::EC2::Volume", "AWS::Logs::LogGroup"}
"""What is worth something without the stack. The search domain is not among them: manifests make it anew."""
PUBLIC = "0.0.0.0/0"


def no_wildcard_actions(resource: Resource) -> Iterator[str]:
    """What is allowed is named, action by action; NotAction would allow what nobody has thought of."""
    for statement in statements(resource):
        if statement["Effect"] == "Allow":
            yield from (f"allows {action}" for action in listed(statement.get("Action", "NotAction")) if "*" in action)
            if "Action" not in statement:
                yield "allows by NotAction"


def no_wildcard_resources(resource: Resource) -> Iterator[str]:
    """What it is allowed on is named, save where that cannot be; in a key's policy `*` is the key."""
    if resource.kind == "AWS::KMS::Key":
        return
    for statement in statements(resource):
        if statement["Effect"] == "Allow" and "*" in listed(statement.get("Resource", [])):
            yield from (f"allows {action} on everything" for action in listed(statement["Action"]) if action not in NO_RESOURCE)


def nobody_is_everybody(resource: Resource) -> Iterator[str]:
    """No statement lets everybody in."""
    for statement in statements(resource):
        who = statement.get("Principal")
        names = who.values() if isinstance(who, Mapping) else [who]
        if statement["Effect"] == "Allow" and any("*" in listed(name) for name in names):
            yield f"lets everybody {statement['Action']}"


def encrypted(resource: Resource) -> Iterator[str]:
    """Everything that rests is encrypted."""
    judge = _ENCRYPTED.get(resource.kind)
    if judge is not None:
        yield from judge(resource.properties)


def _bucket(said: Properties) -> Iterator[str]:
    rules = said.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
    algorithms = {one for rule in rules for one in both_branches(rule["ServerSideEncryptionByDefault"].get("SSEAlgorithm"))}
    if not algorithms or not algorithms <= {"AES256", "aws:kms"}:
        yield f"is encrypted by {algorithms or 'nothing'}"


def _disks(said: Properties) -> Iterator[str]:
    for disk in said["LaunchTemplateData"].get("BlockDeviceMappings", [{}]):
        if disk.get("Ebs", {}).get("Encrypted") is not True:
            yield "has a disk in the clear"


def _domain(said: Properties) -> Iterator[str]:
    for name in ("EncryptionAtRestOptions", "NodeToNodeEncryptionOptions", "AdvancedSecurityOptions"):
        if said.get(name, {}).get("Enabled") is not True:
            yield f"has no {name}"
    ends = said.get("DomainEndpointOptions", {})
    if ends.get("EnforceHTTPS") is not True or not str(ends.get("TLSSecurityPolicy")).startswith("Policy-Min-TLS-1-2"):
        yield "takes what is not TLS 1.2"


_ENCRYPTED: Mapping[str, Callable[[Properties], Iterable[str]]] = {
    "AWS::S3::Bucket": _bucket,
    "AWS::EC2::Volume": lambda said: [] if said.get("Encrypted") is True else ["is a volume in the clear"],
    "AWS::EC2::LaunchTemplate": _disks,
    "AWS::SNS::Topic": lambda said: [] if "KmsMasterKeyId" in said else ["is in the clear"],
    "AWS::KMS::Key": lambda said: [] if said.get("EnableKeyRotation") is True else ["does not rotate"],
    "AWS::OpenSearchService::Domain": _domain,
}


def not_public(resource: Resource) -> Iterator[str]:
    """A bucket blocks public access in all four ways, and knows no owner but its own."""
    if resource.kind == "AWS::S3::Bucket":
        block = resource.properties.get("PublicAccessBlockConfiguration", {})
        for name in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"):
            if block.get(name) is not True:
                yield f"has no {name}"
        owners = [rule["ObjectOwnership"] for rule in resource.properties.get("OwnershipControls", {}).get("Rules", [])]
        if owners != ["BucketOwnerEnforced"]:
            yield "lets uploaders own objects"


def nobody_comes_in_by_default(resource: Resource) -> Iterator[str]:
    """Whatever is let in from the network depends on a condition, and comes from a network that a parameter names."""
    if resource.kind == "AWS::EC2::SecurityGroup":
        for rule in resource.properties.get("SecurityGroupIngress", []):
            if rule.keys() != {"Fn::If"}:
                yield "lets somebody in without being asked to"
            for one in both_branches(rule):
                wide = one.get("CidrIp") == PUBLIC or "CidrIpv6" in one
                if wide or (one.get("CidrIp") or {}).keys() != {"Ref"}:
                    yield f"lets {one.get('CidrIp') or one.get('CidrIpv6')} in on {one.get('FromPort')}"
    if resource.kind == "AWS::EC2::SecurityGroupIngress":
        yield "stands beside its group, where this rule does not look"


def credentials_by_sessions_only(resource: Resource) -> Iterator[str]:
    """A machine's credentials are to be had by IMDSv2, from the machine itself."""
    if resource.kind == "AWS::EC2::Instance":
        yield "is no launch template, where this rule looks"
    if resource.kind == "AWS::EC2::LaunchTemplate":
        options = resource.properties["LaunchTemplateData"].get("MetadataOptions", {})
        if options.get("HttpTokens") != "required":
            yield "answers IMDSv1"
        if options.get("HttpPutResponseHopLimit") != 1:
            yield "answers further than itself"


def what_holds_data_stays(resource: Resource) -> Iterator[str]:
    """Neither the end of the stack nor an update takes data along."""
    if resource.kind in HOLD_DATA:
        for name in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resource.said.get(name) not in {"Retain", "Snapshot"}:
                yield f"has the {name} {resource.said.get(name)}"


RULES: tuple[Rule, ...] = (
    no_wildcard_actions,
    no_wildcard_resources,
    nobody_is_everybody,
    encrypted,
    not_public,
    nobody_comes_in_by_default,
    credentials_by_sessions_only,
    what_holds_data_stays,
)
