"""Batches of a queue: each record is answered for alone, so what failed comes again and what did not is done."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

__all__ = ["PartialItemFailureResponse", "SQSRecord", "settle_each"]


def settle_each(event: dict[str, Any], settle: Callable[[SQSRecord], None]) -> PartialItemFailureResponse:
    """Settle each record of an SQS event; one whose settling raises is named in the answer, whichever others are."""
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(records=event["Records"], handler=settle):
        processor.process()
    return processor.response()
