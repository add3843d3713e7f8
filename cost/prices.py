"""Quantities of what AWS charges for, and what they come to."""

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

_PRICES = Path(__file__).with_name("prices.toml")


class Price(NamedTuple):
    """What one unit costs in US dollars, and which service charges it."""

    service: str
    dollars: float


class Usage:
    """How much is used of what has a price, by the names of prices.toml. Usages add up, and multiply by numbers.

    Example:
        (Usage(sns_publish=1) + Usage(sqs_request=3)) * 1_000_000

    """

    def __init__(self, **quantities: float) -> None:
        self.quantities = quantities

    @classmethod
    def of(cls, name: str, quantity: float) -> Self:
        """Return the usage of something whose name is no identifier."""
        return cls(**{name: quantity})

    def __add__(self, other: "Usage") -> "Usage":
        """Return what is used of both together."""
        names = {**self.quantities, **other.quantities}
        return Usage(**{name: self.quantities.get(name, 0) + other.quantities.get(name, 0) for name in names})

    def __mul__(self, times: float) -> "Usage":
        """Return what is used so many times."""
        return Usage(**{name: quantity * times for name, quantity in self.quantities.items()})

    def without(self, name: str) -> "Usage":
        """Return what is used besides something."""
        return Usage(**{other: quantity for other, quantity in self.quantities.items() if other != name})

    def by_service(self, prices: Mapping[str, Price]) -> dict[str, float]:
        """Return what each service charges, in US dollars.

        Raises:
            KeyError: something has no price.

        """
        dollars: dict[str, float] = defaultdict(float)
        for name, quantity in self.quantities.items():
            dollars[prices[name].service] += prices[name].dollars * quantity
        return dict(dollars)

    def dollars(self, prices: Mapping[str, Price]) -> float:
        """Return what all of it costs."""
        return sum(self.by_service(prices).values())


@cache
def list_prices() -> dict[str, Price]:
    """Read the list prices of the one region that prices.toml holds."""
    entries = tomllib.loads(_PRICES.read_text())
    return {
        name: Price(entry["service"], entry["usd"] / entry["per"])
        for name, entry in entries.items()
        if isinstance(entry, dict)
    }


@cache
def region() -> str:
    """Return the region that the prices are of."""
    return str(tomllib.loads(_PRICES.read_text())["region"])
