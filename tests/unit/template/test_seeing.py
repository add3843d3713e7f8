"""What an operator is shown and told: of metrics that there are, to somebody, with a page that says what to do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hongyan.metrics import NAMESPACE, Metric

from tests.contract.aws_metrics import PUBLISHED
from tests.support.template import STORES, resources, template

_REPOSITORY = Path(__file__).parents[3]
RUNBOOK = _REPOSITORY / "docs" / "runbook"
OBSERVABILITY = _REPOSITORY / "docs" / "observability.md"

# Those that CodeDeploy watches roll a deployment back by themselves.
_ROLL_BACK = re.findall(r"'Ref': '(\w+)'", str(template()["Globals"]["Function"].get("DeploymentPreference", {})))
ALARMS = {name: alarm for name, alarm in resources("AWS::CloudWatch::Alarm").items() if name not in _ROLL_BACK}
PAGES = {page.stem: page.read_text() for page in sorted(RUNBOOK.glob("*Alarm.md"))}

FUNCTIONS = resources("AWS::Serverless::Function")
QUEUES = resources("AWS::SQS::Queue")


class Series(NamedTuple):
    """A metric with its dimensions, as an alarm or a widget names it."""

    namespace: str
    name: str
    dimensions: dict[str, str]


def widgets() -> list[dict[str, Any]]:
    """Return what the dashboard consists of, with the names of resources in the place of references to them."""
    body, variables = template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
    for name, value in variables.items():
        shown = value["If"][1] if "If" in value else value
        body = body.replace(f"${{{name}}}", shown["Sub"])
    parsed: list[dict[str, Any]] = json.loads(re.sub(r"\$\{([^}]+)\}", r"\1", body))["widgets"]
    return parsed


def series_of_widget(widget: dict[str, Any]) -> Iterator[Series]:
    """Return a widget's metrics; `...` stands for what the one before it has at the same places."""
    before: list[str] = []
    for row in widget["properties"].get("metrics", []):
        names = [part for part in row if isinstance(part, str)]
        if names[0] == "...":
            names = [*before[: len(before) - len(names) + 1], *names[1:]]
        before = names
        yield Series(names[0], names[1], dict(zip(names[2::2], names[3::2], strict=True)))


def on_the_dashboard() -> list[Series]:
    return [series for widget in widgets() for series in series_of_widget(widget)]


def series_of_alarm(alarm: dict[str, Any]) -> list[Series]:
    metrics = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    return [_series(metric) for metric in metrics or [alarm]]


def _series(metric: dict[str, Any]) -> Series:
    dimensions = {each["Name"]: str(each["Value"]) for each in metric["Dimensions"]}
    return Series(metric["Namespace"], metric["MetricName"], dimensions)


def functions_of(alarm: str) -> set[str]:
    """Return the functions that an alarm adds up."""
    metrics = ALARMS[alarm]["Metrics"][1:]
    return {each["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"] for each in metrics}


def started_by(kind: str) -> set[str]:
    """Return the functions that have a source of a kind: `Api`, `SQS`, `Schedule`."""
    return {
        name
        for name, function in FUNCTIONS.items()
        if any(source["Type"] == kind for source in function.get("Events", {}).values())
    }


def behind_sockets() -> set[str]:
    routes = template()["Resources"]["SocketApi"]["Properties"]["Routes"]
    return {name for name in FUNCTIONS if any(f"'{name}." in str(route) for route in routes.values())}


def test_what_alarms_and_the_dashboard_show_is_published() -> None:
    alarms = resources("AWS::CloudWatch::Alarm").values()

    for series in [*on_the_dashboard(), *(series for alarm in alarms for series in series_of_alarm(alarm))]:
        names, dimension_sets = PUBLISHED[series.namespace]
        assert series.name in names, series
        assert set(series.dimensions) in dimension_sets, series


def test_what_functions_print_is_of_the_stack_that_alarms_and_the_dashboard_show() -> None:
    shown = {series.dimensions["stack"] for series in on_the_dashboard() if series.namespace == NAMESPACE}
    watched = {s.dimensions["stack"] for a in ALARMS.values() for s in series_of_alarm(a) if s.namespace == NAMESPACE}

    assert template()["Globals"]["Function"]["Environment"]["Variables"]["STACK_NAME"] == {"Ref": "AWS::StackName"}
    assert (shown, watched) == ({"AWS::StackName"}, {"{'Ref': 'AWS::StackName'}"})


@pytest.mark.parametrize("metric", Metric)
def test_a_metric_of_ours_is_on_the_dashboard(metric: Metric) -> None:
    assert metric in {series.name for series in on_the_dashboard()}


def test_the_document_lists_every_metric_of_ours_with_its_unit() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", OBSERVABILITY.read_text(), re.MULTILINE)

    assert rows == [(metric.value, metric.unit.value) for metric in Metric]


def test_the_document_counts_what_there_is_to_pay_for() -> None:
    text = " ".join(OBSERVABILITY.read_text().split())
    summed = [alarm["Metrics"][1:] for alarm in ALARMS.values() if "Metrics" in alarm]

    assert f"{len(Metric)} metrics a stack" in text
    assert f"({len(ALARMS) - len(summed)} alarms on one, and {sum(map(len, summed))} metrics in the five" in text
    assert len(summed) == 5


@pytest.mark.parametrize("name", ["Errors", "Throttles", "ConcurrentExecutions", "Duration"])
def test_every_function_is_on_the_dashboard(name: str) -> None:
    assert {s.dimensions["FunctionName"] for s in on_the_dashboard() if s.name == name} == set(FUNCTIONS)


def test_every_queue_is_on_the_dashboard() -> None:
    shown = {s.dimensions["QueueName"].removesuffix(".QueueName") for s in on_the_dashboard() if s[0] == "AWS/SQS"}

    assert shown == set(QUEUES)


def test_the_data_stores_are_on_the_dashboard_where_the_template_makes_them() -> None:
    stores = template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"][1]["StoresWidgets"]["If"]

    assert (stores[0], stores[2]) == ("MakesStores", "")
    assert {series.namespace for series in on_the_dashboard()} >= {"AWS/RDS", "AWS/ElastiCache", "AWS/ES"}
    of_stores = {n for n, a in ALARMS.items() if a.get("Namespace") in {"AWS/RDS", "AWS/ElastiCache", "AWS/ES"}}
    assert of_stores
    assert {template()["Resources"][name].get("Condition") for name in of_stores} == {"MakesStores"}


def test_a_node_of_the_search_engine_has_a_quarter_of_its_storage_left_when_the_alarm_comes() -> None:
    """Below a fifth it may refuse writes."""
    sizes = template(STORES)["Mappings"]["Sizes"]

    for size, least in template()["Mappings"]["LeastSearchStorage"].items():
        share = least["Megabytes"] / 1024 / sizes[size]["SearchGigabytes"]
        assert share == 0.25


def test_a_shift_back_is_told_to_the_operators_too() -> None:
    roll_back = {name: alarm for name, alarm in resources("AWS::CloudWatch::Alarm").items() if name in _ROLL_BACK}

    assert roll_back
    assert all(alarm["AlarmActions"] == [{"Ref": "AlarmsTopic"}] for alarm in roll_back.values())


def test_no_two_widgets_cover_the_same_place() -> None:
    places = [
        (x, y)
        for w in widgets()
        for x in range(w["x"], w["x"] + w["width"])
        for y in range(w["y"], w["y"] + w["height"])
    ]

    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24  # columns of a dashboard


def test_a_line_that_marks_an_alarm_is_where_that_alarm_is() -> None:
    for widget in widgets():
        marked = {line["value"] for line in widget["properties"].get("annotations", {}).get("horizontal", [])}
        names = {series.name for series in series_of_widget(widget)}
        thresholds = [alarm["Threshold"] for alarm in ALARMS.values() if alarm.get("MetricName") in names]
        assert all(line in thresholds for line in marked), widget["properties"]["title"]


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_tells_the_operators_when_it_begins_and_when_it_is_over(alarm: str) -> None:
    assert ALARMS[alarm]["AlarmActions"] == ALARMS[alarm]["OKActions"] == [{"Ref": "AlarmsTopic"}]


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_names_its_page(alarm: str) -> None:
    assert alarm in PAGES
    assert ALARMS[alarm]["AlarmDescription"].endswith(f" See docs/runbook/{alarm}.md.")
    assert len(ALARMS[alarm]["AlarmDescription"]) <= 1024  # CloudWatch API, PutMetricAlarm


def test_a_page_is_of_an_alarm_and_in_the_index() -> None:
    indexed = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \|", (RUNBOOK / "README.md").read_text(), re.MULTILINE)

    assert set(PAGES) == set(ALARMS)
    assert [name for name, _ in indexed] == list(ALARMS)
    assert all(name == page for name, page in indexed)


@pytest.mark.parametrize("alarm", PAGES)
def test_a_page_says_what_it_means_what_to_look_at_what_to_do_and_when_it_is_over(alarm: str) -> None:
    headings = re.findall(r"^## (.+)$", PAGES[alarm], re.MULTILINE)

    assert PAGES[alarm].startswith(f"# {alarm}\n")
    assert headings == ["What it means", "What to look at", "What to do", "When it is over"]


@pytest.mark.parametrize("page", [*sorted(RUNBOOK.glob("*.md")), OBSERVABILITY], ids=lambda page: page.stem)
def test_a_page_names_resources_metrics_and_log_lines_that_there_are(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"\b[A-Z][A-Za-z]+(?:Function|Queue|Topic|Alarm|Subscription)\b", text))
    quoted = set(re.findall(r"message = \"([^\"]+)\"", text))
    queried = set(re.findall(r"ispresent\((\w+)\.0\)", text))

    assert named <= set(template()["Resources"]), page
    assert not [line for line in quoted if f'"{line}"' not in _code()], page
    assert queried <= {metric.value for metric in Metric}, page


def _code() -> str:
    return "".join(
        path.read_text() for folder in ("functions", "layers/core") for path in (_REPOSITORY / folder).rglob("*.py")
    )


@pytest.mark.parametrize("queue", [name for name in QUEUES if "DeadLetter" not in name])
def test_a_queue_has_an_alarm_on_its_age(queue: str) -> None:
    [series] = series_of_alarm(ALARMS[f"{queue}AgeAlarm"])

    assert series.name == "ApproximateAgeOfOldestMessage"
    assert series.dimensions == {"QueueName": str({"GetAtt": f"{queue}.QueueName"})}


def test_a_function_that_nobody_waits_for_is_watched_for_errors() -> None:
    assert functions_of("ConsumerFunctionErrorsAlarm") == started_by("SQS")
    assert functions_of("ScheduledFunctionErrorsAlarm") == started_by("Schedule")
    assert functions_of("SocketFunctionErrorsAlarm") == behind_sockets()


def test_a_function_that_somebody_waits_for_is_watched_for_throttles() -> None:
    assert functions_of("ApiFunctionThrottlesAlarm") == started_by("Api") | {"UserAuthorizerFunction"}
    assert functions_of("SocketFunctionThrottlesAlarm") == behind_sockets() | {"WsConnectAuthorizerFunction"}


def test_alarms_can_add_up_only_ten_metrics() -> None:
    assert all(len(alarm.get("Metrics", [])) <= 10 for alarm in ALARMS.values())  # CloudWatch quota


def test_an_alarm_address_is_subscribed_if_there_is_one() -> None:
    assert template()["Resources"]["AlarmsTopic"]["Properties"]["Subscription"]["If"] == [
        "HasAlarmEmail",
        [{"Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}],
        {"Ref": "AWS::NoValue"},
    ]
