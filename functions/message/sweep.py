"""The sweeper of the outbox: publishes what the function that committed it could not (architecture, decision 3)."""

from typing import Any

from hongyan import metrics, outbox
from hongyan.metrics import Metric
from hongyan.observability import SCHEDULE, logger

# Leaves time to finish the last batch before the function's own time-out.
_STOP_AT_REMAINING_MS = 10_000


@logger.inject_lambda_context(clear_state=True, correlation_id_path=SCHEDULE)
@metrics.emitted
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Publish until nothing is left behind or time is short, and return how many events the topic took."""
    _measure_age()
    announced, passed_by = 0, set[str]()
    while context.get_remaining_time_in_millis() > _STOP_AT_REMAINING_MS:
        known = len(passed_by)
        taken = outbox.sweep(passed_by)
        announced += taken
        metrics.count(Metric.EVENTS_LEFT_BEHIND, taken)
        if taken == 0 and len(passed_by) == known:
            break
    if announced:
        logger.warning("announced events that had been left behind", announced=announced)
    return {"announced": announced}


def _measure_age() -> None:
    """Record how long the oldest event has waited: before anything is done about it, as that may fail."""
    since = outbox.waiting_since()
    if since is None:
        metrics.record(Metric.OUTBOX_AGE, 0)
    else:
        metrics.record_since(Metric.OUTBOX_AGE, since)
