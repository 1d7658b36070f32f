from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s3sync.dropzone.locks import hold
from s3sync.errors import Exit, Locked, Preflight

HOLDER = """
import sys
from pathlib import Path
from s3sync.dropzone.locks import hold
note = Path(sys.argv[2]) if sys.argv[2] else None
with hold(Path(sys.argv[1]), note=note, host="that-host"):
    print(flush=True)
    sys.stdin.read()
"""


def _holder(folder: Path, note: Path | str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLDER, str(folder), str(note)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_second_agent_is_refused_and_told_who_holds_the_lock(tmp_path: Path) -> None:
    """The refusal names pid and host as the holder wrote them."""
    note = tmp_path / "agent.json"
    with _holder(tmp_path, note) as holder:
        with pytest.raises(Locked, match=rf"pid {holder.pid} on that-host") as refused, hold(tmp_path, note=note):
            pass
        holder.communicate()

    assert Exit.LOCKED is refused.value.exit
    assert not note.exists()


def test_without_a_note_the_kernel_is_asked_who_holds_it(tmp_path: Path) -> None:
    """The drop zone's root has no file of ours in it; /proc/locks knows the pid."""
    with _holder(tmp_path, "") as holder:
        with pytest.raises(Locked, match=rf"pid {holder.pid} on this host"), hold(tmp_path):
            pass
        holder.communicate()


def test_a_killed_agent_leaves_no_lock(tmp_path: Path) -> None:
    """Whatever it left beside is nobody's lock."""
    note = tmp_path / "agent.json"
    with _holder(tmp_path, note) as holder:
        holder.kill()
        holder.communicate()

    with hold(tmp_path, note=note):
        assert f'"pid": {os.getpid()}' in note.read_text()
    assert not note.exists()


def test_a_spoilt_note_does_not_hide_that_it_is_locked(tmp_path: Path) -> None:
    """What cannot be read of the holder is left out of the sentence."""
    note = tmp_path / "agent.json"
    with hold(tmp_path, note=note):
        note.write_text("[]")
        with pytest.raises(Locked, match="another agent works on it"), hold(tmp_path, note=note):
            pass


def test_a_folder_we_may_only_read_can_be_locked(tmp_path: Path) -> None:
    """The lock needs no right to write."""
    tmp_path.chmod(0o555)

    with hold(tmp_path), pytest.raises(Locked), hold(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_a_matter_of_preflight(tmp_path: Path) -> None:
    """Nothing can be locked where nothing is."""
    with pytest.raises(Preflight, match="cannot be opened"), hold(tmp_path / "missing"):
        pass
