"""A month idle and a month of people, by hand."""

import pytest

from cost import months, tables
from cost.__main__ import DOCUMENT, filled
from cost.months import People
from cost.prices import list_prices
from tests.support.template import STORES, resources, template

DEV, SMALL, LARGE = (months.sizes()[name] for name in ("dev", "small", "large"))
NOBODY = People(users=0, messages_a_day=40, group=2, online=0.5, hours_a_day=3)


def test_the_database_costs_its_minimum_until_it_is_busier() -> None:
    idle, busy = months.database(SMALL, 0).quantities, months.database(SMALL, 10_000).quantities

    assert idle == {"aurora_acu_hour": 2 * 730, "proxy_acu_hour": 2 * 8 * 730}
    assert busy == {"aurora_acu_hour": 2 * 10_000, "proxy_acu_hour": 2 * 10_000}


def test_what_stands_there_is_paid_by_the_hour() -> None:
    used = months.fixed(DEV).quantities

    assert used["cache.t4g.micro"] == used["t3.small.search"] == used["nat_hour"] == 730
    assert used["search_gb_month"] == 10


def test_snapshots_are_paid_for_by_the_memory_of_functions_that_somebody_waits_for() -> None:
    waited_for = {name: f for name, f in resources("AWS::Serverless::Function").items() if "SnapStart" in f}
    gigabytes = sum(f.get("MemorySize", 512) for f in waited_for.values()) / 1024

    assert "UserApiFunction" in waited_for
    assert months.snapshots().quantities == {"snapshot_gb_second": gigabytes * 730 * 3600}


def test_a_firewall_is_paid_for_with_its_rules() -> None:
    assert months.firewall().quantities == {"firewall_month": 1, "firewall_rule_month": 5}


def test_sizes_are_those_of_the_template() -> None:
    deployed = template(STORES)["Mappings"]["Sizes"]

    for name, size in months.sizes().items():
        shared = {key: value for key, value in size._asdict().items() if key in deployed[name]}
        assert len(shared) >= 6
        assert shared == {key: deployed[name][key] for key in shared}


def test_empty_queues_are_asked_all_month() -> None:
    queues = [name for name in resources("AWS::SQS::Queue") if "DeadLetter" not in name]

    assert months.by_the_clock().quantities["sqs_request"] == len(queues) * 15 * 60 * 730


def test_a_month_without_people_is_an_idle_one() -> None:
    assert months.month(SMALL, NOBODY).dollars(list_prices()) == pytest.approx(
        months.idle(SMALL).dollars(list_prices())
    )


def test_a_larger_size_costs_more_and_more_people_do() -> None:
    prices = list_prices()
    idle = [months.idle(size).dollars(prices) for size in (DEV, SMALL, LARGE)]
    used = [months.month(SMALL, NOBODY._replace(users=users)).dollars(prices) for users in (0, 1_000, 100_000)]

    assert idle == sorted(idle)
    assert used == sorted(used)


def test_each_size_names_nodes_that_have_a_price() -> None:
    for size in months.sizes().values():
        assert {size.CacheNode, size.SearchNode, size.SearchManager} <= set(list_prices())


def test_the_document_holds_what_the_command_prints() -> None:
    document = DOCUMENT.read_text()

    assert filled(document) == document, "`python -m cost --write` fills it anew"
    assert [document.count(f"<!-- cost:{name} -->") for name in tables.everything()] == [1] * len(tables.everything())


def test_a_table_has_a_column_for_all_that_it_uses() -> None:
    with pytest.raises(ValueError, match="no column"):
        tables._table("x", ("Lambda",), [("a row", months.idle(DEV))])
