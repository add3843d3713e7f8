"""What an operator sees of the system in numbers: each is named here and nowhere else (docs/observability.md).

What a call records is printed when it ends, as one line of the embedded metric format, of which CloudWatch makes
metrics: that costs no call and needs no permission. The deployment's stack is the only dimension, as AWS bills every
combination of a name and dimensions.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, wraps
from typing import ParamSpec, Self, TypeVar

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from hongyan.clock import now
from hongyan.settings import settings

P = ParamSpec("P")
R = TypeVar("R")

NAMESPACE = "Hongyan"
DIMENSION = "stack"

_MILLISECOND = timedelta(milliseconds=1)


class Metric(StrEnum):
    """The name of a metric, and the unit that its values have."""

    unit: MetricUnit

    MESSAGES_ACCEPTED = "MessagesAccepted", MetricUnit.Count
    MESSAGES_DELIVERED = "MessagesDelivered", MetricUnit.Count
    POSTS_TAKEN = "PostsTaken", MetricUnit.Count
    POSTS_PUT_OFF = "PostsPutOff", MetricUnit.Count
    PUSH_LATENCY = "PushLatency", MetricUnit.Milliseconds
    STALE_CONNECTIONS = "StaleConnections", MetricUnit.Count
    OPEN_CONNECTIONS = "OpenConnections", MetricUnit.Count
    FRAMES_FAILED = "FramesFailed", MetricUnit.Count
    OUTBOX_AGE = "OutboxAge", MetricUnit.Milliseconds
    EVENTS_LEFT_BEHIND = "EventsLeftBehind", MetricUnit.Count
    MESSAGE_INDEX_LAG = "MessageIndexLag", MetricUnit.Milliseconds
    PERSON_INDEX_LAG = "PersonIndexLag", MetricUnit.Milliseconds
    DOCUMENTS_REINDEXED = "DocumentsReindexed", MetricUnit.Count
    MESSAGE_SEARCH_TIME = "MessageSearchTime", MetricUnit.Milliseconds
    PERSON_SEARCH_TIME = "PersonSearchTime", MetricUnit.Milliseconds
    SEARCHES_FAILED = "SearchesFailed", MetricUnit.Count
    CODES_SENT = "CodesSent", MetricUnit.Count
    CODES_REFUSED = "CodesRefused", MetricUnit.Count
    CODES_FAILED = "CodesFailed", MetricUnit.Count
    TRANSCRIPTS_MADE = "TranscriptsMade", MetricUnit.Count
    TRANSCRIPTS_FAILED = "TranscriptsFailed", MetricUnit.Count
    UPLOADS_REFUSED = "UploadsRefused", MetricUnit.Count
    ARCHIVES_FAILED = "ArchivesFailed", MetricUnit.Count

    def __new__(cls, name: str, unit: MetricUnit) -> Self:
        """Make a member that is its name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.unit = unit
        return member


def record(metric: Metric, value: float) -> None:
    """Note a value, to be printed when the call ends. Only for the thread that serves the call."""
    _emf().add_metric(metric, metric.unit, value)


def count(metric: Metric, times: int = 1) -> None:
    """Note that something happened so many times, if it did."""
    if times:
        record(metric, times)


def record_since(metric: Metric, moment: datetime, until: datetime | None = None) -> None:
    """Note how many milliseconds lie between a moment and another, or now.

    They are none if the first is of a machine whose clock is ahead of this one's.
    """
    record(metric, max(0.0, ((until or now()) - moment) / _MILLISECOND))


def emitted(handler: Callable[P, R]) -> Callable[P, R]:
    """Let what a handler's call records be printed when it ends, also by raising."""

    @wraps(handler)
    def emitting(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        finally:
            emit()

    return emitting


def emit() -> None:
    """Print what was recorded. A call that may run into its time-out does so on its way: what is not out then is lost.

    Powertools' own decorator would print a warning for each call that records nothing.
    """
    if _emf().provider.metric_set:
        _emf().flush_metrics()


@cache
def _emf() -> Metrics:
    emf = Metrics(namespace=NAMESPACE)
    emf.service = None  # else it becomes a second dimension, which says the same of every function
    emf.set_default_dimensions(**{DIMENSION: settings().stack_name})
    return emf
