"""The member list keeps everything a restart needs, and a torn one is never believed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3batch.model import Member, SpooledMember
from s3batch.pack.members import ListedOwner, MemberListWriter, read_member_list
from s3batch.pack.tar import Attributes
from s3sync.dropzone.candidate import Identity
from s3sync.errors import Permanent

names = st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw)
whole = st.integers(0, 2**62)
accounts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@st.composite
def spooled_members(draw: st.DrawFn) -> SpooledMember:
    """Build any member there can be."""
    key, base = draw(names), draw(names)
    size, mtime_ns = draw(whole), draw(st.integers(-(2**40), 2**62))
    member = Member(
        key=key,
        offset=draw(whole),
        size=size,
        sha256=draw(st.binary(min_size=32, max_size=32)).hex(),
        mtime_ns=mtime_ns,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 2**32 - 1)),
        gid=draw(st.integers(0, 2**32 - 1)),
        user=draw(accounts),
        group=draw(accounts),
    )
    identity = Identity(draw(whole), draw(whole), size, mtime_ns, draw(whole))
    return SpooledMember(member, base + b"/" + key, identity)


def written(folder: Path, members: list[SpooledMember]) -> Path:
    """Return a file with the list of `members`."""
    writer = MemberListWriter()
    pieces = []
    for at, member in enumerate(members):
        file = member.member
        owner = ListedOwner(Attributes(file.mode, file.uid, file.gid, file.user, file.group))
        place = (file.offset, bytes.fromhex(file.sha256))
        writer.add(member.path, (*member.identity, len(member.path) - len(file.key)), place, owner)
        if at % 2:
            pieces.append(writer.take())
    path = folder / "members"
    path.write_bytes(b"".join([*pieces, writer.finish()]))
    return path


@given(st.lists(spooled_members(), max_size=8))
@settings(max_examples=80)
def test_list_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, members: list[SpooledMember]) -> None:
    """Any names, numbers and owners survive."""
    path = written(tmp_path_factory.mktemp("list"), members)

    assert members == list(read_member_list(path))


EXAMPLE = SpooledMember(
    Member(b"a/b", 512, 3, "ab" * 32, 1, 0o644, 0, 0, "root", "root"), b"bucket/a/b", Identity(1, 2, 3, 1, 4)
)


def test_every_torn_list_is_refused(tmp_path: Path) -> None:
    """Cut off anywhere, the list is not believed."""
    path = written(tmp_path, [EXAMPLE] * 3)
    content = path.read_bytes()

    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(Permanent):
            list(read_member_list(path))


def test_flipped_bytes_are_refused(tmp_path: Path) -> None:
    """A byte that changed on the disk is noticed wherever it is."""
    path = written(tmp_path, [EXAMPLE] * 2)
    content = path.read_bytes()

    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(Permanent):
            list(read_member_list(path))


def test_missing_list_is_refused(tmp_path: Path) -> None:
    """A list that is gone says so in our family's words."""
    with pytest.raises(Permanent, match="No such file"):
        list(read_member_list(tmp_path / "members"))
