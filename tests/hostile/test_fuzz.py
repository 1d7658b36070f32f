"""Whatever bytes come in, only our own errors come out: manifests, settings, lists, inventories, an index's answers."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from s3batch.catalogue import inventory, manifest
from s3batch.catalogue.bulks import _answer
from s3batch.catalogue.index import Answer
from s3batch.catalogue.opensearch_replies import item_reply, reason_of
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.catalogue.targets import parse, resolve
from s3batch.commands.restore import _listed
from s3batch.restore.destination import components
from s3batch.settings import Settings
from s3sync import keys
from s3sync.errors import Failure, Permanent, Usage
from s3sync.output import table
from tests.catalogue.examples import members, opened, record

bounded = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
INSIDE = members("a/file", "b/file")
RECORD = record("batch", len(INSIDE))
GOOD = manifest.render(RECORD, INSIDE)
INVENTORY = gzip.compress(b"".join(b'"bucket","a/%d.tar","false"\n' % number for number in range(50)), mtime=0)


def _swallow(packed: bytes) -> list[str]:
    """Read all there is in a manifest and return its members' keys as text; a `Permanent` is an answer too."""
    with suppress(Permanent):
        return [keys.display(member.key) for member in manifest.read(packed, RECORD.manifest).members()]
    return []


@bounded
@given(packed=st.binary(max_size=300))
@example(b"")
@example(gzip.compress(b"{" * 100_000))
@example(gzip.compress(b'{"version":1' + b"[" * 100_000))
@example(gzip.compress(b'{"version":' + b"9" * 5000 + b',"archive":{},"members":[]}'))
@example(gzip.compress(b'{"version":1,"archive":{},"members":[' + b"9" * 5000 + b"]}"))
def test_any_bytes_as_a_manifest(packed: bytes) -> None:
    """Bytes that are no manifest are refused, packed or not."""
    _swallow(packed)
    _swallow(gzip.compress(packed))


@bounded
@given(place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_manifest(place: int, value: int, cut: bool) -> None:
    """One byte changed, or the rest missing: the same members, or a refusal."""
    damaged = GOOD[:place] if cut else GOOD[:place] + bytes([value]) + GOOD[place + 1 :]

    assert _swallow(damaged) in ([], ["a/file", "b/file"])


@bounded
@given(data=st.data(), value=JSON)
def test_any_value_in_any_field_of_a_manifest(data: st.DataObject, value: object) -> None:
    """Any JSON in the place of any field is understood or refused; what is believed stays within the archive."""
    document: dict[str, Any] = json.loads(gzip.decompress(GOOD))
    where = data.draw(st.sampled_from([document, document["archive"], *document["members"]]))
    where[data.draw(st.sampled_from(sorted(where)))] = value
    packed = gzip.compress(json.dumps(document).encode("utf-8", "surrogatepass"))
    with suppress(Permanent):
        read = manifest.read(packed, RECORD.manifest)
        for member in read.members():
            assert 0 <= member.offset <= member.offset + member.size <= read.record.size
            assert len(bytes.fromhex(member.sha256)) == 32


@bounded
@given(text=st.text(max_size=200))
@example("folder = 1")
@example('folder = "/x"\nstate = [1979-05-27]')
@example('"\x00" = 1')
@example('folder = "a\\u0000b"')
@example("max_batch_size = nan")
@example("quiet_period = 1e400")
@example('max_batch_size = "9999999999999999999999 TiB"')
@example('quiet_period = "99999999999999 d"')
@example("rsyslog_port = -0")
def test_any_settings_file(text: str) -> None:
    """A settings file that TOML can read gives settings or one `Usage` with all that is wrong."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    with suppress(Usage):
        Settings.read(environment={"HOME": "/home/x"}, file=content)


@bounded
@given(name=st.sampled_from(sorted(Settings.model_fields)), value=JSON | st.text(max_size=30))
@example(name="folder", value="\0")
@example(name="folder", value="\udcff")
@example(name="quiet_period", value="1" * 400 + "d")
@example(name="max_batch_age", value="1e308 d")
@example(name="max_batch_size", value="1e999 GiB")
@example(name="opensearch_url", value="http://[::1")
@example(name="opensearch_url", value="http://host:99999999/")
def test_any_value_of_any_setting(name: str, value: object) -> None:
    """Whatever stands for a setting, in the file or in the environment, it is taken or refused, never a traceback."""
    with suppress(Usage):
        Settings.read(environment={"HOME": "/home/x"}, file={name: value})
    with suppress(Usage):
        Settings.read(environment={"HOME": "/home/x", Settings.variable(name): str(value)})


COLUMNS = "Bucket, Key, IsDeleteMarker"


def _rows_of(place: Path, content: bytes) -> list[tuple[str, str]]:
    """Read an inventory; a `Usage` is an answer too."""
    place.write_bytes(content)
    with suppress(Usage):
        return list(inventory.objects([place], COLUMNS, lambda _event: None))
    return []


@bounded
@given(content=st.binary(max_size=300))
@example(b'"b"c,"x\n')
@example(b"\r\r\n,,\n")
@example(b'"b","' + b"k" * 200_000)
@example(b"b," + b"k," * 100_000)
@example(b"b,%ff%00%1b,\nb,a,true\n")
def test_any_bytes_as_an_inventory(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no CSV are refused, packed or not; a row names a bucket and a key, or is passed over."""
    for place, said in (
        (tmp_path / "a.csv", content),
        (tmp_path / "a.csv.gz", gzip.compress(content)),
        (tmp_path / "b.gz", content),
    ):
        for bucket, key in _rows_of(place, said):
            assert isinstance(bucket, str)
            assert len(key.encode("utf-8")) <= 3 * 1024


@bounded
@given(place=st.integers(0, len(INVENTORY) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_inventory(tmp_path: Path, place: int, value: int, cut: bool) -> None:
    """One byte of a packed inventory changed, or the rest missing: rows, or a refusal, never a traceback."""
    damaged = INVENTORY[:place] if cut else INVENTORY[:place] + bytes([value]) + INVENTORY[place + 1 :]
    _rows_of(tmp_path / "a.csv.gz", damaged)


@pytest.mark.parametrize("key", ["a b", "a+b", "ü/ß", "a%20b", 'a"b', "a,b"])
def test_inventories_write_a_space_as_plus(tmp_path: Path, key: str) -> None:
    """Keys come back as they are in S3, whichever of the two ways a space was written in."""
    for written in (quote_plus(key, safe="/"), quote(key, safe="/")):
        assert [("b", key)] == _rows_of(tmp_path / "a.csv", f'"b","{written}","false"\n'.encode())


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteCatalogue]:
    """Return a catalogue with two members."""
    with opened(tmp_path_factory.mktemp("fuzz")) as made:
        made.add(RECORD, INSIDE)
        yield made


@bounded
@given(line=st.binary(max_size=60))
@example(b"s3://")
@example(b"s3:///")
@example(b"base64:")
@example(b"base64:AA==")
@example(b"#")
@example(b"s3://bucket/#")
@example(b"a/file#")
@example(b"\x00")
@example(b"s3://bucket/base64:/w==")
def test_any_line_of_a_restore_list(catalogue: SqliteCatalogue, line: bytes) -> None:
    """A line that names nothing we know is refused or comes back as not found."""
    with suppress(Usage):
        found = resolve(catalogue, parse(line.decode("utf-8", "surrogateescape")))
        assert found.entries or found.candidates or found.why


@bounded
@given(content=st.binary(max_size=200))
@example(b"\xef\xbb\xbfa/file\r\n")
@example(b"\x00\n\r\r\n")
@example("a/file\n".encode("utf-16"))
def test_any_file_as_a_restore_list(catalogue: SqliteCatalogue, tmp_path: Path, content: bytes) -> None:
    """Every line is a name or a refusal, whatever the file was written with."""
    place = tmp_path / "list"
    place.write_bytes(content)
    for name in _listed(str(place)):
        with suppress(Usage):
            assert resolve(catalogue, parse(name)).target.text == name


@bounded
@given(reply=JSON)
def test_any_answer_of_an_index(reply: object) -> None:
    """Whatever an index answers to one document is an outcome with one line of reason."""
    for item in (reply, {"create": reply}, {"create": {"status": 400, "error": reply}}, {"create": {"status": reply}}):
        answer = _answer(item_reply(item))

        assert isinstance(answer, Answer)
        assert "\n" not in reason_of(item)


@bounded
@given(place=st.binary(max_size=80))
@example(b"../../etc/passwd")
@example(b"/etc/passwd")
@example(b"bucket/..")
@example(b"bucket/a/../../b")
@example(b"bucket//a")
def test_any_name_out_of_a_forged_manifest_stays_below_its_destination(place: bytes) -> None:
    """A place is taken apart into names that lead nowhere else, or refused."""
    with suppress(Failure):
        parts = components(place)

        assert b"/".join(parts) == place
        assert not {b"", b".", b".."} & set(parts)
        assert not any(b"/" in part or b"\0" in part for part in parts)


@bounded
@given(text=st.text(max_size=60))
@example("\x1b]0;owned\x07")
@example("a\u202eb\u2066c")
@example("\u0085\u2028\u2029\x7f\x9b31m")
def test_no_table_or_line_lets_a_name_act_on_a_terminal(text: str) -> None:
    """Control characters, line ends and direction marks of a name are shown, not obeyed."""
    for line in [keys.printable(text), *table([(text, 1)], ("NAME", "FILES"))]:
        assert line.isprintable()
