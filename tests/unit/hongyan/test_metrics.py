"""One line a call, whatever it records and however it ends, in the form that CloudWatch reads."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hongyan import metrics
from hongyan.clock import now
from hongyan.metrics import Metric
from hongyan.settings import settings

from tests.contract.emf import lines_in

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def function(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of a function."""
    monkeypatch.setenv("STACK_NAME", "hongyan-test")
    for name in ("STORES_SECRET_ARN", "EVENTS_TOPIC_ARN", "CLOUD_MAP_NAMESPACE", "FILES_BUCKET"):
        monkeypatch.setenv(name, "unused")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "hongyan")
    settings.cache_clear()
    metrics._emf.cache_clear()
    yield
    settings.cache_clear()
    metrics._emf.cache_clear()


@metrics.emitted
def counting_to(number: int) -> int:
    for n in range(number):
        metrics.record(Metric.PUSH_LATENCY, n)
    return number


@metrics.emitted
def failing() -> None:
    metrics.count(Metric.CODES_FAILED)
    raise ConnectionError


def test_a_call_that_records_ten_values_prints_one_line(capsys: Output) -> None:
    assert counting_to(10) == 10

    [line] = lines_in(capsys.readouterr().out)
    assert line.values == {"PushLatency": [float(n) for n in range(10)]}
    assert line.units == {"PushLatency": "Milliseconds"}


def test_a_call_that_records_nothing_prints_nothing(capsys: Output, recwarn: pytest.WarningsRecorder) -> None:
    counting_to(0)

    assert capsys.readouterr() == ("", "")
    assert list(recwarn) == []


def test_a_call_that_raises_prints_what_it_recorded(capsys: Output) -> None:
    with pytest.raises(ConnectionError):
        failing()

    [line] = lines_in(capsys.readouterr().out)
    assert line.values == {"CodesFailed": [1.0]}


def test_nothing_is_left_for_the_next_call(capsys: Output) -> None:
    counting_to(3)
    counting_to(1)

    assert [line.values["PushLatency"] for line in lines_in(capsys.readouterr().out)] == [[0.0, 1.0, 2.0], [0.0]]


def test_what_did_not_happen_is_not_counted(capsys: Output) -> None:
    metrics.count(Metric.STALE_CONNECTIONS, 0)
    metrics.emit()

    assert capsys.readouterr().out == ""


def test_the_stack_is_the_only_dimension_also_of_lines_that_were_full_before_the_call_ended(capsys: Output) -> None:
    counting_to(250)

    lines = lines_in(capsys.readouterr().out)
    assert [len(line.values["PushLatency"]) for line in lines] == [100, 100, 50]
    assert {(line.namespace, str(line.dimensions)) for line in lines} == {("Hongyan", "{'stack': 'hongyan-test'}")}


def test_time_is_counted_in_milliseconds_and_never_backwards(capsys: Output) -> None:
    moment = now()

    metrics.record_since(Metric.OUTBOX_AGE, moment, moment + timedelta(seconds=1.5))
    metrics.record_since(Metric.OUTBOX_AGE, moment, moment - timedelta(seconds=1))
    metrics.emit()

    [line] = lines_in(capsys.readouterr().out)
    assert line.values == {"OutboxAge": [1500.0, 0.0]}


def test_every_metric_has_a_name_and_a_unit_that_cloudwatch_takes(capsys: Output) -> None:
    for metric in Metric:
        metrics.record(metric, 0)
    metrics.emit()

    [line] = lines_in(capsys.readouterr().out)
    assert line.units == {metric.value: metric.unit.value for metric in Metric}
