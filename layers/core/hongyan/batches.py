"""Batches of a queue: each record is answered for alone, so what failed comes again and what did not is done."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from hongyan.observability import follow, logger

__all__ = ["PartialItemFailureResponse", "SQSRecord", "settle_each"]


def settle_each(event: dict[str, Any], settle: Callable[[SQSRecord], None]) -> PartialItemFailureResponse:
    """Settle each record of an SQS event; one whose settling raises is named in the answer, whichever others are.

    ``settle`` begins by following what caused the record (`hongyan.observability.follow`).
    """

    def settle_alone(record: SQSRecord) -> None:
        follow()  # not what the record before did
        try:
            settle(record)
        except Exception as error:
            logger.warning("a record comes again", message_id=record.message_id, kind=type(error).__name__)
            raise
        logger.info("a record is done", message_id=record.message_id)

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(records=event["Records"], handler=settle_alone):
        processor.process()
    return processor.response()
