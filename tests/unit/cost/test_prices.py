"""Quantities add up and come to what the price list says."""

import tomllib
from datetime import date
from pathlib import Path

import pytest

from cost import prices
from cost.prices import Price, Usage, list_prices

TWO = {"pear": Price("Fruit", 0.5), "apple": Price("Fruit", 0.25), "bread": Price("Bakery", 3.0)}
ENTRIES = tomllib.loads((Path(prices.__file__).parent / "prices.toml").read_text())


def test_usages_add_up_and_multiply() -> None:
    usage = (Usage(pear=2) + Usage(pear=1, bread=1)) * 10

    assert usage.quantities == {"pear": 30, "bread": 10}


def test_each_service_charges_what_is_used_of_it() -> None:
    usage = Usage(pear=4, apple=4, bread=1)

    assert usage.by_service(TWO) == {"Fruit": 3.0, "Bakery": 3.0}
    assert usage.dollars(TWO) == 6.0
    assert usage.without("bread").dollars(TWO) == 3.0


def test_what_has_no_price_is_not_free() -> None:
    with pytest.raises(KeyError, match="cheese"):
        Usage(cheese=1).dollars(TWO)


def test_a_list_price_is_for_one_unit() -> None:
    assert list_prices()["sqs_request"].dollars == pytest.approx(0.40 / 1_000_000)


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if isinstance(entry, dict)])
def test_a_price_says_of_what_unit_it_is_who_said_so_and_when(name: str) -> None:
    entry = ENTRIES[name]

    assert set(entry) == {"service", "usd", "per", "unit", "page", "as_of", "source"}
    assert entry["usd"] > 0
    assert isinstance(entry["as_of"], date)
    assert entry["source"]
    assert "pricing" in entry["page"]
