"""What Prometheus sees. Labels hold kinds, codes, lines and names of rooms: never a person or a text.

The hot path only adds to plain numbers; they become Prometheus samples when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)

STAGES: Final = ("journaled", "answered", "delivered")
"""journaled: from receipt to durable; answered: from receipt of an inquiry to receipt of an answer;
delivered: from sending to the station's acknowledgement."""


class Spread:
    """A histogram of plain numbers."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound, as Prometheus wants them."""
        cumulative, rows = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            cumulative += count
            rows.append((bound, float(cumulative)))
        return rows


class Metrics(Collector):
    """All counters of one daemon, and the gauges it was given to ask."""

    def __init__(self) -> None:
        self.messages: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By kind and outcome (`accepted`, `delivered`, or a wire code)."""
        self.stages = {stage: Spread(_SECONDS) for stage in STAGES}
        self._commit_rows = Spread(_ROWS)
        self._commit_seconds = Spread(_SECONDS)
        self.connections_refused: defaultdict[str, int] = defaultdict(int)
        self.audit_events: defaultdict[str, int] = defaultdict(int)
        self.certificate_changes: defaultdict[str, int] = defaultdict(int)
        """Changed certificate files, by outcome: `taken_up`, `refused`."""
        self.journal_rows_dropped = 0
        """Events and audit records that an outage of the journal lasted too long for."""
        self.clock_steps = 0
        """How often somebody, or something, set the wall clock."""
        self._gauges: list[tuple[str, str, str, Callable[[], dict[str, float]]]] = []
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def gauge(self, name: str, help: str, label: str, read: Callable[[], dict[str, float]]) -> None:
        """Show numbers that somebody else keeps.

        Args:
            name: Metric name.
            help: What it means.
            label: The label whose values are the keys of what `read` returns.
            read: Called when Prometheus asks.
        """
        self._gauges.append((name, help, label, read))

    def committed(self, rows: int, began: float, ended: float) -> None:
        """Count a commit of the journal."""
        self._commit_rows.add(rows)
        self._commit_seconds.add(ended - began)

    @property
    def commits(self) -> tuple[int, float]:
        """How many commits there were, and their rows together."""
        return sum(self._commit_rows.counts), self._commit_rows.total

    def collect(self) -> Iterator[Metric]:
        """Yield everything; called by the Prometheus client."""
        messages = CounterMetricFamily("msc_messages", "Messages by kind and outcome", labels=["kind", "outcome"])
        for (kind, outcome), count in list(self.messages.items()):
            messages.add_metric([kind, outcome], count)
        yield messages
        stages = HistogramMetricFamily("msc_stage_seconds", "Time a message spends in a stage", labels=["stage"])
        for stage, spread in self.stages.items():
            stages.add_metric([stage], spread.buckets(), spread.total)
        yield stages
        yield HistogramMetricFamily(
            "msc_commit_rows",
            "Journal rows in one commit",
            buckets=self._commit_rows.buckets(),
            sum_value=self._commit_rows.total,
        )
        yield HistogramMetricFamily(
            "msc_commit_seconds",
            "Time one commit of the journal takes",
            buckets=self._commit_seconds.buckets(),
            sum_value=self._commit_seconds.total,
        )
        refused = CounterMetricFamily("msc_connections_refused", "Connections refused, by reason", labels=["reason"])
        for reason, count in list(self.connections_refused.items()):
            refused.add_metric([reason], count)
        yield refused
        audit = CounterMetricFamily("msc_audit_events", "Access-control events", labels=["event"])
        for event, count in list(self.audit_events.items()):
            audit.add_metric([event], count)
        yield audit
        changes = CounterMetricFamily(
            "msc_certificate_changes", "Changed certificate files, by outcome", labels=["outcome"]
        )
        for outcome, count in list(self.certificate_changes.items()):
            changes.add_metric([outcome], count)
        yield changes
        yield CounterMetricFamily(
            "msc_journal_rows_dropped",
            "Events and audit records lost because an outage of the journal lasted too long",
            value=self.journal_rows_dropped,
        )
        yield CounterMetricFamily("msc_clock_steps", "How often the wall clock was set", value=self.clock_steps)
        for name, help, label, read in self._gauges:
            gauge = GaugeMetricFamily(name, help, labels=[label])
            for value, number in read().items():
                gauge.add_metric([value], number)
            yield gauge
