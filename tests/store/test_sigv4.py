"""Signing, by the examples that AWS publishes."""

from __future__ import annotations

from s3sync.store.sigv4 import Keys, Scope, authorization

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)
SCOPE = Scope("us-east-1", "s3")
HOST = "examplebucket.s3.amazonaws.com"
DATE = "20130524T000000Z"
BEGINNING = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders="


def test_a_get_is_signed_as_the_example_is() -> None:
    """S3 API reference, signature calculations in the Authorization header, GET Object."""
    headers = {
        "host": HOST,
        "range": "bytes=0-9",
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-amz-date": DATE,
    }

    signed = authorization("GET", "/test.txt", headers, KEYS, SCOPE)

    names = "host;range;x-amz-content-sha256;x-amz-date"
    signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert f"{BEGINNING}{names}, Signature={signature}" == signed


def test_a_put_is_signed_as_the_example_is() -> None:
    """The same page, PUT Object; blanks around and within values do not count."""
    headers = {
        "date": "Fri,  24 May 2013 00:00:00 GMT ",
        "host": HOST,
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        "x-amz-date": DATE,
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }

    signed = authorization("PUT", "/test%24file.text", headers, KEYS, SCOPE)

    names = "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class"
    signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert f"{BEGINNING}{names}, Signature={signature}" == signed
