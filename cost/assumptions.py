"""What is assumed: assumptions.toml says each with its reason."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class Assumptions(NamedTuple):
    """The entries of assumptions.toml."""

    lambda_mb_a_processor: float
    processors_an_acu: float
    database_utilisation: float
    aurora_io_bytes: float
    queue_requests_a_minute: float
    bytes_around_a_post: float
    bytes_around_a_frame: float
    ping_seconds: float
    messages_a_read: float
    connects_a_day: float
    days_a_month: float
    hours_a_month: float
    custom_metrics: float


ASSUMED = Assumptions(**tomllib.loads(Path(__file__).with_name("assumptions.toml").read_text()))
