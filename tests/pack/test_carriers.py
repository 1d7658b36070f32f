"""Who carries batches: releases wait for nobody but releases, and nothing under way is overlooked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from s3batch.pack.carriers import CARRIERS, Carriers

SECONDS = 10
"""Longer than anything here takes."""


def test_a_release_that_takes_its_time_holds_up_no_other_step() -> None:
    """Batches built meanwhile are stored and catalogued."""
    carriers = Carriers(ThreadPoolExecutor)
    released, stored = threading.Event(), threading.Semaphore(0)

    def slowly() -> None:
        released.wait(SECONDS)

    for _ in range(CARRIERS + 1):
        carriers.release(slowly)
    for _ in range(CARRIERS + 1):
        carriers.advance(stored.release)

    assert all(stored.acquire(timeout=SECONDS) for _ in range(CARRIERS + 1))
    assert not carriers.wait(0.01)
    released.set()
    assert carriers.wait(SECONDS)
    carriers.dismiss()


def test_work_that_raises_is_not_under_way_for_ever() -> None:
    """A pass must end whatever happened in it."""
    carriers = Carriers(ThreadPoolExecutor)

    def fail() -> None:
        raise RuntimeError("an accident")

    carriers.advance(fail)
    carriers.release(fail)
    assert carriers.wait(SECONDS)
    carriers.dismiss()


def test_what_is_done_elsewhere_counts_too() -> None:
    """A build, which is nobody's of the carriers."""
    carriers = Carriers(ThreadPoolExecutor)
    carriers.begin()
    assert not carriers.idle()
    carriers.end()
    assert carriers.idle()
    carriers.dismiss()
