"""The consumer of images that S3 got: makes their thumbnails, and lets the messages that carry them show these.

A record comes again until all is done. The file gets its thumbnails first: what is sent from then on has them; then,
each under its conversation's lock, the messages that were sent before.
"""

import json
from functools import partial
from typing import Any
from urllib.parse import unquote_plus

from hongyan import files, findings, links
from hongyan.batches import PartialItemFailureResponse, SQSRecord, settle_each
from hongyan.errors import FileTypeWrong, PictureTooLarge, PictureUnreadable
from hongyan.observability import follow, logger
from hongyan.unit_of_work import perform, read

from functions.file import pictures, repository, storage
from functions.file.repository import Row

Thumbnails = dict[str, dict[str, int]]


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> PartialItemFailureResponse:  # noqa: ARG001  # Lambda's signature
    """Make the thumbnails of what a batch names, and answer for each record alone: what failed comes again."""
    return settle_each(event, _settle)


def _settle(record: SQSRecord) -> None:
    # S3 tells once of itself, by a message without records, when it is connected to a queue.
    for told in json.loads(record.body).get("Records", []):
        # The client stored it by a request to S3 itself.
        follow(told.get("responseElements", {}).get("x-amz-request-id"))
        _make(unquote_plus(told["s3"]["object"]["key"]).removeprefix("image/"))


def _make(file_id: str) -> None:
    rows = read(lambda connection: repository.find(connection, [file_id]))
    if not rows or not files.is_there(rows[0]) or rows[0].refused_as is not None:
        return
    thumbnails = rows[0].thumbnails or _thumbnails(rows[0])
    if thumbnails is None:
        return
    perform(lambda unit: repository.update(unit.connection, file_id, thumbnails=thumbnails))
    for message in read(lambda connection: repository.list_messages(connection, file_id)):
        show = partial(findings.add, **message._mapping, name="thumbnail", value=thumbnails)  # noqa: SLF001  # public
        perform(show)


def _thumbnails(row: Row) -> Thumbnails | None:
    try:
        picture = pictures.decode(storage.read(storage.key_of(row.purpose, row.id)))
    except storage.GoneError:
        logger.info("an image was deleted before it had thumbnails", file_id=row.id)
        return None
    except (FileTypeWrong, PictureTooLarge, PictureUnreadable) as problem:
        logger.info("an image has no thumbnails", file_id=row.id, code=problem.code)  # completing it says so too
        return None
    made = {name: pictures.within(picture, side) for name, side in storage.THUMBNAIL_SIDES.items()}
    for name, thumbnail in made.items():
        storage.write(links.thumbnail_key(row.id, name), thumbnail.data, pictures.MIME)
    return {name: dict(zip(("width", "height"), thumbnail.size, strict=True)) for name, thumbnail in made.items()}
