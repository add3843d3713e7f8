"""Deletes what was said longer ago than this deployment keeps it, in batches. Off unless the template says how long.

What was deleted stays in its place, empty, as if it had been recalled: seqs stay dense, sync brings it to every device,
and search loses it. Nobody's socket is told of each.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from hongyan import files
from hongyan.clock import now
from hongyan.events import UsersAudience, event
from hongyan.observability import SCHEDULE, logger
from hongyan.settings import settings
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.message import retention_repository as repository
from functions.message.repository import last_seq_before

# At once in one conversation, whose lock senders wait for meanwhile.
BATCH = 200
_CONVERSATIONS = 200
_STOP_AT_REMAINING_MS = 20_000


@logger.inject_lambda_context(clear_state=True, correlation_id_path=SCHEDULE)
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001  # Lambda's signature
    """Delete until nothing is too old or time is short, and return how many messages were emptied."""
    days = settings().message_retention_days
    if days == 0:
        return {"emptied": 0}
    cutoff, emptied = now() - timedelta(days=days), 0
    for conversation_ids in _conversations():
        if context.get_remaining_time_in_millis() < _STOP_AT_REMAINING_MS:
            break
        emptied += _empty_too_old(conversation_ids, cutoff)
    if emptied:
        logger.info("messages are past their time", emptied=emptied)
    return {"emptied": emptied}


def _conversations() -> Iterator[Sequence[str]]:
    found: Sequence[str] = [""]
    while found := read(partial(repository.list_from, after_id=found[-1], limit=_CONVERSATIONS)):
        yield found


def _empty_too_old(conversation_ids: Sequence[str], cutoff: datetime) -> int:
    too_old = read(lambda connection: repository.list_too_old(connection, conversation_ids, cutoff))
    return sum(_empty_all(conversation_id, cutoff) for conversation_id in too_old)


def _empty_all(conversation_id: str, cutoff: datetime) -> int:
    emptied = 0
    while batch := perform(lambda unit: _empty(unit, conversation_id, cutoff)):
        emptied += batch
    return emptied


def _empty(unit: UnitOfWork, conversation_id: str, cutoff: datetime) -> int:
    """Empty up to a batch of messages, the oldest first, and return how many seqs that settled."""
    extent = repository.lock_extent(unit.connection, conversation_id)
    settled: int = extent.emptied_seq
    until = min(settled + BATCH, last_seq_before(unit.connection, conversation_id, cutoff))
    if until <= settled:
        return 0
    seqs = repository.list_full(unit.connection, conversation_id, settled, until)
    repository.empty(unit.connection, conversation_id, extent, until, now())
    files.detach(unit.connection, conversation_id, settled + 1, until)
    nobody = UsersAudience(user_ids=[])  # it is for the search index
    for seq in seqs:
        unit.announce(event("message.updated", nobody, message={"conversation_id": conversation_id, "seq": seq}))
    return until - settled
