"""Storage classes in the documents S3 answers with: listings of objects, versions, uploads and parts, and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from tests.doubles.cold_storage import ColdStorage, Name
from tests.doubles.s3_calls import Call

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ET.register_namespace("", NAMESPACE)


def with_classes(
    body: bytes, call: Call, cold: ColdStorage, uploads: Mapping[str, str], *, wants_restores: bool, seen: Name
) -> bytes:
    """Return a document with the class of every object in it, and the state of its thaw where `wants_restores`.

    `uploads` has the classes of unfinished uploads; `seen` is the object the document is about, if it is about one.
    """
    root = ET.fromstring(body)  # noqa: S314 - from the server behind
    encoded = _text(root, "EncodingType") == "url"
    if call.operation == "ListParts":
        _set_class(root, uploads.get(call.upload_id or ""))
    for element in root.iter():
        tag = _tag(element)
        if tag in {"Contents", "Version"}:
            name = _listed_name(element, call.bucket, cold, encoded=encoded)
            _set_class(element, cold.storage_class(name))
            if wants_restores:
                _add_restore(element, cold, name)
        elif tag == "Upload":
            _set_class(element, uploads.get(_text(element, "UploadId") or ""))
        elif tag == "GetObjectAttributesResponse":
            _set_class(element, cold.storage_class(seen))
    rewritten: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return rewritten


def _listed_name(element: ET.Element, bucket: str, cold: ColdStorage, *, encoded: bool) -> Name:
    shown = _text(element, "Key") or ""
    key = unquote_plus(shown) if encoded else shown
    version = _text(element, "VersionId")
    if version is None:
        return cold.current(bucket, key)
    return bucket, key, None if version == "null" else version


def _set_class(element: ET.Element, storage_class: str | None) -> None:
    if storage_class is None:
        return
    found = _child(element, "StorageClass")
    if found is None:
        found = ET.SubElement(element, f"{_prefix(element)}StorageClass")
    found.text = storage_class


def _add_restore(element: ET.Element, cold: ColdStorage, name: Name) -> None:
    until = cold.until(name)
    if until is None and not cold.under_way(name):
        return
    status = ET.SubElement(element, f"{_prefix(element)}RestoreStatus")
    ET.SubElement(status, f"{_prefix(element)}IsRestoreInProgress").text = "false" if until else "true"
    if until is not None:
        ET.SubElement(status, f"{_prefix(element)}RestoreExpiryDate").text = f"{until:%Y-%m-%dT%H:%M:%S.000Z}"


def _text(element: ET.Element, tag: str) -> str | None:
    found = _child(element, tag)
    return None if found is None else found.text


def _child(element: ET.Element, tag: str) -> ET.Element | None:
    return next((child for child in element if _tag(child) == tag), None)


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _prefix(element: ET.Element) -> str:
    return element.tag[: element.tag.rfind("}") + 1]
