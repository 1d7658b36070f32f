"""Samples in Prometheus' own text: the one file that knows its client library."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from s3sync.observe.metrics import PHASE_BOUNDS, Kind, Metric, Sample, in_order

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(program: str, samples: Iterable[Sample], metrics: Iterable[Metric]) -> bytes:
    """Return `samples` of those of `metrics` that were measured, each named `<program>_...`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measured([_family(program, metric, found) for metric, found in in_order(samples, metrics)]))
    return generate_latest(registry)


def write_textfile(path: Path, text: bytes) -> None:
    """Put `text` where node_exporter reads it, whole or not at all, readable for everybody. Raises `OSError`."""
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # it reads *.prom, and not this
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


class _Measured(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        yield from self._families


def _family(program: str, metric: Metric, samples: list[Sample]) -> Family:
    name = f"{program}_{metric.name}"
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(name, metric, samples)
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.value)
    return family


def _histogram(name: str, metric: Metric, samples: list[Sample]) -> Family:
    family = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    sums = {sample.labels: sample.value for sample in samples if sample.suffix == "_sum"}
    fallen = {sample.labels: sample.value for sample in samples if sample.suffix == "_bucket"}
    for labels, total in sums.items():
        so_far, buckets = 0.0, []
        for bound in (*(f"{bound:g}" for bound in PHASE_BOUNDS), "+Inf"):
            so_far += fallen.get((*labels, bound), 0.0)
            buckets.append((bound, so_far))
        family.add_metric(labels, buckets, total)
    return family
