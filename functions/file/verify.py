"""The consumer of large uploads: reads each from beginning to end, a MiB at a time, and has it ready or refuses it."""

from typing import Any

from hongyan import files, metrics
from hongyan.batches import PartialItemFailureResponse, SQSRecord, settle_each
from hongyan.errors import FileNotFound
from hongyan.observability import follow, logger
from hongyan.unit_of_work import read

from functions.file import inspection, repository, storage, uploads


@logger.inject_lambda_context(clear_state=True)
@metrics.emitted
def handler(event: dict[str, Any], context: Any) -> PartialItemFailureResponse:  # noqa: ARG001  # Lambda's signature
    """Verify the uploads that a batch names, and answer for each record alone: what failed comes again."""
    return settle_each(event, _verify)


def _verify(record: SQSRecord) -> None:
    cause = record.message_attributes[uploads.CAUSE]
    follow(None if cause is None else cause.string_value)
    rows = read(lambda connection: repository.find(connection, [record.body]))
    if not rows or not files.is_there(rows[0]) or rows[0].verifying_since is None:
        return
    try:
        uploads.verify(rows[0])
    except (FileNotFound, storage.GoneError):
        logger.info("an upload was deleted while it was verified", file_id=record.body)
    except inspection.REFUSALS as problem:
        logger.info("an upload was refused", file_id=record.body, code=problem.code)
