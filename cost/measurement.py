"""What `python -m bench.cost` measured: the shape of measured.json."""

from functools import cache
from pathlib import Path

from pydantic import BaseModel

_MEASURED = Path(__file__).with_name("measured.json")


class Call(BaseModel):
    """One call of a function: how long it lasted, what the processor worked of that, and what was logged."""

    calls: float = 1
    wall_ms: float
    processor_ms: float = 0
    log_bytes: float

    def plus(self, other: "Call", times: float) -> "Call":
        """Return this call made longer (or shorter) by a multiple of another."""
        return Call(
            calls=self.calls,
            wall_ms=max(0, self.wall_ms + other.wall_ms * times),
            processor_ms=max(0, self.processor_ms + other.processor_ms * times),
            log_bytes=max(0, self.log_bytes + other.log_bytes * times),
        )


class Work(BaseModel):
    """What one piece of work takes: so many calls of each function, and the stores' processors."""

    functions: dict[str, Call]
    database_processor_ms: float
    database_redo_bytes: float
    redis_processor_ms: float


class Requests(BaseModel):
    """What one piece of work asks for by itself, and what is asked for to push its events; bytes among them."""

    itself: dict[str, int]
    push: dict[str, int]
    events: int
    shards: int

    @property
    def posts(self) -> int:
        """Return how many posts to connections there are."""
        return self.push.get("PostToConnection", 0)

    def of(self, name: str) -> int:
        """Return how often something is asked for in all."""
        return self.itself.get(name, 0) + self.push.get(name, 0)


class Measurement(BaseModel):
    """The whole file."""

    as_of: str
    machine: str
    online: int
    work: dict[str, Work]
    clock: dict[str, Call]
    requests: dict[str, Requests]


@cache
def measurement() -> Measurement:
    """Read the file."""
    return Measurement.model_validate_json(_MEASURED.read_text())
