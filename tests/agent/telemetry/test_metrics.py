"""What a scrape of the device gets: text that Prometheus reads, with every metric in the reference."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.serving.worker_metrics import ModelCounts, serving_metrics
from limosa_agent.telemetry.agent_metrics import AgentFacts, ModelFacts, agent_metrics
from limosa_agent.telemetry.prometheus import Metric, Sample, render
from limosa_contracts.window import LATENCY_EDGES_US

GOLDEN = Path(__file__).parent / "golden" / "metrics.txt"
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
LINE = re.compile(r'[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? \S+')

FACTS = AgentFacts(
    version="1.0.0", started_at=1_800_000_000.0, mqtt_up=True, outbox_rows=3, outbox_bytes=900,
    outbox_max_bytes=1 << 24, refused_desired={"LM-510": 2, "LM-508": 1}, desired_expires_at=1_800_000_900.0,
    certificate_expires_at=1_800_100_000.0, clock="ntp", requests_lost=1, generation=4,
    resident_bytes=38 << 20, disk_free_bytes=5 << 30,
    models=(
        ModelFacts(model="demo/motion", phase="COMMITTED", serving="1.0.0", manifest_sha256="ab" * 32),
        ModelFacts(model="demo/sound", phase="IDLE", serving="", manifest_sha256=""),
    ),
)  # fmt: skip
COUNTS = ModelCounts(
    model="demo/motion",
    version="1.0.0",
    snapshot={
        "requests": 12, "n": 20, "nan_outputs": 1, "unmeasured": 0, "refused": {"LM-551": 2},
        "errors": {"LM-552": 1}, "latency": [4, 5, *[0] * (len(LATENCY_EDGES_US) - 2), 1],
    },
)  # fmt: skip


def whole() -> str:
    own = serving_metrics((COUNTS,), in_flight=1, connections=2, resident_bytes=70 << 20)
    return render(agent_metrics(FACTS)) + render(own)


def test_text_is_as_it_was_written_down() -> None:
    assert whole() == GOLDEN.read_text(encoding="utf-8")


def test_every_metric_stands_in_the_reference_and_no_other() -> None:
    told = set(re.findall(r"^# TYPE (\S+)", whole(), re.MULTILINE))
    written = set(re.findall(r"`(limosa_(?:agent|serving)_\w+)`", REFERENCE.read_text(encoding="utf-8")))
    assert told == written


def test_buckets_of_latency_grow_to_the_count() -> None:
    buckets = [int(line.rsplit(" ", 1)[1]) for line in whole().splitlines() if "_bucket{" in line]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 10
    assert 'limosa_serving_latency_seconds_count{model="demo/motion",version="1.0.0"} 10' in whole()


@given(
    value=st.floats(allow_nan=True, allow_infinity=True),
    label=st.text(),
)
def test_any_value_and_label_is_one_line(value: float, label: str) -> None:
    text = render(
        [Metric(name="x", kind="gauge", help="X.", samples=(Sample(value=value, labels={"l": label}),))]
    )
    lines = text.split("\n")
    assert len(lines) == 4
    assert LINE.fullmatch(lines[2])


def test_metric_without_a_sample_is_left_out() -> None:
    assert render([Metric(name="x", kind="gauge", help="X.", samples=())]) == ""
