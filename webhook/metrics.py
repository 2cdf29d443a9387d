"""GET /metrics: what Prometheus reads, with a `read` token.

Nothing is counted here, so whichever process answers says the same, and a restart loses
nothing: the sums are the ledger's, what is there now is read from it. A scrape reads one
hash and, for each app, its queue, its state and its backups, however long its history is.
Moments are seconds since 1970: an age is `time()` minus one of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, current_app
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from redis import Redis

from webhook.asking import intake
from webhook.calls import call
from webhook.tally import Tally
from worker.clock import parse
from worker.config import Config
from worker.ledger import Ledger
from worker.ledger.counts import ANSWER, LIMITS, OUTAGE, OUTCOME, OVER, RECOVERY, STEP, SUM
from worker.ledger.reach import exposed

bp = Blueprint("metrics", __name__)

SAFETY = "safety"  # a backup of what is about to be overwritten: none to rely on
Sums = Mapping[tuple[str, ...], float]


@bp.get("/metrics")
@call(gives={200: {"text/plain": {"schema": {"type": "string"}}}}, may=(503,))
def metrics() -> Response:
    """Show all numbers, as Prometheus's text."""
    tally: Tally = current_app.extensions["tally"]
    tally.flush()
    found = intake()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Numbers(found.config, found.ledger, found.clock.now().timestamp()))
    registry.register(Reach(found.redis))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class Numbers(Collector):
    """Reads them from the ledger, once for each scrape."""

    def __init__(self, config: Config, ledger: Ledger, now: float) -> None:
        self._config, self._ledger, self._now = config, ledger, now

    def describe(self) -> list[Metric]:
        """Return nothing: being registered must not read anything."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family, also the ones without a number yet."""
        sums = self._ledger.counts.all()
        yield from _counters(sums)
        yield _histogram("step", "A step's seconds.", STEP, ["app", "phase", "step"], sums)
        yield _histogram("outage", "The seconds of an outage by us.", OUTAGE, ["app"], sums)
        listening = float(self._ledger.worker_listening())
        yield GaugeMetricFamily("sheetanchor_worker_listening", "1: yes.", value=listening)
        yield from self._queues()
        yield from self._backups()
        yield from self._states()

    def _queues(self) -> Iterator[Metric]:
        depth = _gauge("queue_deployments", "Deployments that wait.", "app")
        oldest = _gauge("queue_oldest_seconds", "How long the oldest has waited.", "app")
        for app in self._config.apps:
            queued = self._ledger.queued(app)
            depth.add_metric([app], len(queued))
            waits = self._now - _moment(queued[0].queued_at) if queued else 0.0
            oldest.add_metric([app], max(waits, 0.0))
        yield from (depth, oldest)

    def _backups(self) -> Iterator[Metric]:
        count = _gauge("backups", "Backups that are there.", "app", "kind")
        size = _gauge("backup_bytes", "The size of the newest of a kind.", "app", "kind")
        made = _gauge("backup_timestamp_seconds", "When that was made.", "app", "kind")
        verified = _gauge(
            "backup_verified_timestamp_seconds",
            "When one was last read back whole, safety backups aside; 0: never.",
            "app",
        )
        newest = _gauge(
            "backup_newest_timestamp_seconds",
            "When the newest was made, safety backups aside; 0: there is none.",
            "app",
        )
        for app in self._config.apps:
            there = [one for one in self._ledger.backups(app) if one.get("created_at")]
            kinds = {one["kind"]: one for one in sorted(there, key=lambda one: one["created_at"])}
            for kind, last in kinds.items():
                count.add_metric([app, kind], sum(one["kind"] == kind for one in there))
                size.add_metric([app, kind], last.get("bytes") or 0)
                made.add_metric([app, kind], _moment(last["created_at"]))
            usual = [one for one in there if one["kind"] != SAFETY]
            newest.add_metric([app], max((_moment(one["created_at"]) for one in usual), default=0))
            read_back = [_moment(one.get("verified_at")) for one in usual]
            verified.add_metric([app], max(read_back, default=0.0))
        yield from (count, size, made, newest, verified)

    def _states(self) -> Iterator[Metric]:
        drilled = _gauge("drill_passed_timestamp_seconds", "When one last did; 0: never.", "app")
        took = _gauge("drill_restore_seconds", "The seconds its restore took.", "app")
        failed = _gauge("drill_failed", "1: one failed since the last that passed.", "app")
        due = _gauge("schedule_failed", "1: what is due by itself failed last.", "app", "kind")
        hold = _gauge("hold", "1: nothing is deployed by itself, and why.", "app", "hold")
        for app in self._config.apps:
            state = self._ledger.app(app) or {}
            drill = state.get("drill") or {}
            drilled.add_metric([app], _moment(drill.get("passed_at")))
            failed.add_metric([app], float(bool(drill.get("failed"))))
            if drill.get("restore_seconds") is not None:
                took.add_metric([app], drill["restore_seconds"])
            for kind, entry in (state.get("schedule") or {}).items():
                if entry:
                    due.add_metric([app, kind], float(bool(entry.get("failed"))))
            if held := state.get("hold"):
                hold.add_metric([app, held["kind"]], 1)
        yield from (drilled, took, failed, due, hold)


class Reach(Collector):
    """Who can reach Redis is told here, for `/readyz` answers everybody."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def describe(self) -> list[Metric]:
        """Return nothing: being registered must not read anything."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield whether others get in."""
        open_to_others = float(bool(exposed(self._redis)))
        text = "1: others get into Redis without a password."
        yield GaugeMetricFamily("sheetanchor_redis_exposed", text, value=open_to_others)


def _counters(sums: Sums) -> Iterator[Metric]:
    labels = ["app", "kind", "trigger", "status"]
    ended = CounterMetricFamily("sheetanchor_deployments", "Deployments that ended.", labels=labels)
    recovered = CounterMetricFamily(
        "sheetanchor_recoveries", "Deployments of dead processes, finished.", labels=["app"]
    )
    answered = CounterMetricFamily(
        "sheetanchor_hook_answers", "Answers to deliveries.", labels=["status"]
    )
    for kind, family in ((OUTCOME, ended), (RECOVERY, recovered), (ANSWER, answered)):
        for words, much in sums.items():
            if words[0] == kind:
                family.add_metric(words[1:], much)
    yield from (ended, recovered, answered)


def _histogram(name: str, text: str, kind: str, labels: list[str], sums: Sums) -> Metric:
    family = HistogramMetricFamily(f"sheetanchor_{name}_seconds", text, labels=labels)
    for one in sorted({words[:-1] for words in sums if words[0] == kind}):
        total, buckets = 0.0, []
        for limit in (*map(str, LIMITS), OVER):
            total += sums.get((*one, limit), 0.0)
            buckets.append(("+Inf" if limit == OVER else f"{float(limit)}", total))
        family.add_metric(one[1:], buckets, sums.get((*one, SUM), 0.0))
    return family


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sheetanchor_{name}", text, labels=labels)


def _moment(text: Any) -> float:
    return parse(text).timestamp() if text else 0.0
