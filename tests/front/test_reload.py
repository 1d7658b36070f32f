from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta

import pytest

from s3batch.settings import Settings as BatchSettings
from s3sync.errors import Usage
from s3sync.events import Event, Level
from s3sync.reload import Reloading, ReloadRefused, RestartNeeded, SettingsReloaded, change, on_hangup
from s3sync.settings import CommonSettings, Settings


def settings(**file: object) -> Settings:
    """Return settings as a file gives them."""
    return Settings.read(environment={"HOME": "/home/x"}, file=file)


def test_what_can_change_is_taken_over_and_the_rest_waits() -> None:
    """Both are named by their variables; what waits keeps its value."""
    found = change(settings(), settings(quiet_period="5m", log_level="debug", state="/elsewhere"))

    assert ("S3SYNC_QUIET_PERIOD", "S3SYNC_LOG_LEVEL") == found.changed
    assert ("S3SYNC_STATE",) == found.waiting
    assert (timedelta(minutes=5), Level.DEBUG) == (found.settings.quiet_period, found.settings.log_level)
    assert settings().state == found.settings.state


@pytest.mark.parametrize("kind", [Settings, BatchSettings])
def test_what_is_reloaded_is_a_setting(kind: type[CommonSettings]) -> None:
    """The table of what can be reloaded names fields that exist."""
    assert set() == kind.RELOADED - kind.model_fields.keys()


def test_wrong_settings_change_nothing() -> None:
    """The agent goes on with what it has, and says what is wrong."""
    heard: list[Event] = []

    def read() -> Settings:
        return settings(quiet_period="soon")

    reloading = Reloading(settings(), read, heard.append)
    reloading()

    assert [ReloadRefused] == [type(event) for event in heard]
    assert "quiet_period" in str(heard[0])
    assert None is reloading.take()


def test_a_pass_takes_fresh_settings_once() -> None:
    """They are told of when they are read, and taken over by the next pass."""
    heard: list[Event] = []
    reloading = Reloading(settings(), lambda: settings(quiet_period="5m", state="/elsewhere"), heard.append)
    reloading()
    taken = reloading.take()

    assert [SettingsReloaded(changed=("S3SYNC_QUIET_PERIOD",)), RestartNeeded(settings=("S3SYNC_STATE",))] == heard
    assert taken is not None
    assert (timedelta(minutes=5), None, ("S3SYNC_STATE",)) == (taken.quiet_period, reloading.take(), reloading.waiting)


def test_what_waits_goes_on_waiting_until_it_is_taken_back() -> None:
    """A second reload of the same file changes nothing, and names what waits again."""
    heard: list[Event] = []
    reloading = Reloading(settings(), lambda: settings(state="/elsewhere"), heard.append)
    reloading()
    reloading()

    assert 2 == heard.count(RestartNeeded(settings=("S3SYNC_STATE",)))


def test_a_hangup_reloads() -> None:
    """SIGHUP does not end the agent, and means afterwards what it meant before."""
    before, reloaded = signal.getsignal(signal.SIGHUP), threading.Event()
    with on_hangup(reloaded.set):
        os.kill(os.getpid(), signal.SIGHUP)

        assert reloaded.wait(10)

    assert before == signal.getsignal(signal.SIGHUP)


def test_refusing_is_a_usage_error() -> None:
    """What reading raises is what a start would end with."""
    with pytest.raises(Usage):
        settings(quiet_period="soon")
