"""How long to wait before the next try."""

import random


class Backoff:
    """Exponential back-off with full jitter: a random part of a delay that doubles up to a cap, all in seconds."""

    def __init__(self, first: float, cap: float) -> None:
        self._first = first
        self._cap = cap
        self._tries = 0

    def next(self) -> float:
        """Return the seconds to wait now; the next answer is drawn from twice the range."""
        # min() on the exponent too: 2.0**1024 overflows after a long night without network.
        ceiling = min(self._cap, self._first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return random.uniform(0, ceiling)  # noqa: S311 - spreads load, keeps no secret

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._tries = 0
