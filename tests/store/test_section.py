from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from io import FileIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync.errors import Transient
from s3sync.store.aws import connect
from s3sync.store.contract import Rejected, Stopped
from s3sync.store.section import Halted, Section, stoppable
from tests.doubles.payloads import payload_of

DATA = bytes(range(200))


@pytest.fixture
def fd() -> Iterator[int]:
    """An open file of 200 different bytes."""
    with payload_of(DATA) as payload:
        yield payload.fd


def test_it_is_the_stretch_and_no_more(fd: int) -> None:
    """Reading on at its end gives nothing, as with a file."""
    section = Section(fd, offset=50, size=20)

    assert (DATA[50:60], DATA[60:70], b"", b"") == (section.read(10), section.read(), section.read(), section.read(5))


@given(st.lists(st.tuples(st.sampled_from(["read", "seek", "end", "tell"]), st.integers(0, 40))))
def test_it_behaves_as_a_file_of_its_own(steps: list[tuple[str, int]]) -> None:
    """Whatever a client library does to send it again, it sends the same bytes."""
    with payload_of(DATA) as payload, payload_of(DATA[50:80]) as alone, FileIO(alone.fd, closefd=False) as file:
        section = Section(payload.fd, offset=50, size=30)
        file.seek(0)
        for step, number in steps:
            assert _do(file, step, number) == _do(section, step, number)


def _do(file: Section | FileIO, step: str, number: int) -> object:
    if step == "read":
        return file.read(number)
    if step == "tell":
        return file.tell()
    return file.seek(number) if step == "seek" else file.seek(0, os.SEEK_END)


def test_it_stops_between_chunks(fd: int) -> None:
    """What is asked to stop reads no further."""
    asked = iter([False, True, True])
    section = Section(fd, offset=0, size=200, stopping=lambda: next(asked))
    section.read(10)

    with pytest.raises(Halted):
        section.read(10)


def test_a_body_is_hashed_by_botocore_and_stops_while_it_is(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over plain http a body is read before it is sent: in large pieces, and what is raised in that comes through."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    asked = iter([False, True])
    body = Section(fd, offset=0, size=200, stopping=lambda: next(asked))
    with closing(connect(connections=1)) as client, pytest.raises(Halted):
        client.put_object(Bucket="b", Key="k", Body=body, ContentLength=200, ChecksumCRC64NVME="AAAAAAAAAAA=")  # type: ignore[arg-type]  # botocore reads anything that can be read

    assert 200 == body.tell()


def test_what_fails_while_stopping_was_stopped() -> None:
    """A broken request is the consequence of stopping; the server's own verdict is not."""
    with pytest.raises(Stopped), stoppable("s3://b/k", lambda: True):
        raise Halted
    with pytest.raises(Stopped), stoppable("s3://b/k", lambda: True):
        raise Transient("s3://b/k", "the connection broke")
    with pytest.raises(Rejected), stoppable("s3://b/k", lambda: True):
        raise Rejected("s3://b/k", "other bytes")
    with pytest.raises(ZeroDivisionError), stoppable("s3://b/k", lambda: False):
        raise ZeroDivisionError
