"""Removes uploads that nobody completed and files that nothing uses, an hour after they expired.

Until then, links work that were handed out before, to store and to fetch them.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from hongyan.clock import now
from hongyan.observability import SCHEDULE, logger
from hongyan.unit_of_work import read

from functions.file import removal, repository

AFTER = timedelta(hours=1)
_PAGE = 100
_STOP_AT_REMAINING_MS = 20_000


@logger.inject_lambda_context(clear_state=True, correlation_id_path=SCHEDULE)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Remove until nothing is left or time is short, and return how many files were removed."""
    removed, after_id = 0, ""
    while context.get_remaining_time_in_millis() > _STOP_AT_REMAINING_MS:
        page = partial(repository.list_expired, before=now() - AFTER, after_id=after_id, limit=_PAGE)
        file_ids = read(page)
        if not file_ids:
            break
        removed += sum(removal.remove(file_id) for file_id in file_ids)
        after_id = file_ids[-1]
    if removed:
        logger.info("files were removed", removed=removed)
    return {"removed": removed}
