"""The list of conversations, each as its member sees it, and what it is to that member alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from hongyan import cards, feed
from hongyan.cards import find_card
from hongyan.clock import rfc3339
from hongyan.events import UsersAudience, event
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.schemas import Conversation
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.friend import conversation_repository as repository
from functions.friend.conversation_repository import Position
from functions.friend.schemas import Settings

# Not the name of the release before, whose cursors held no moment: they are refused like any of another list.
_CONVERSATIONS = "conversations-as-of"


def list_conversations(user_id: str, cursor: str | None, limit: int) -> Page[Conversation]:
    """Return a page of the caller's conversations, newest activity first.

    The order is the one of the first page: who pages on while messages arrive misses no conversation, and sees none
    twice. What began since is on top of the next first page.
    """
    after = None if cursor is None else _position(user_id, cursor)
    rows, shown = read(lambda connection: _list(connection, user_id, after, limit + 1))

    def cursor_after(row: sa.Row[Any]) -> str:
        began_at = rows[0].order_at if after is None else after.began_at
        return encode_cursor(_CONVERSATIONS, user_id, [rfc3339(began_at), rfc3339(row.order_at), row.id])

    return page_of(rows, limit, lambda row: shown[row.id], cursor_after)


def conversation(user_id: str, conversation_id: str) -> Conversation:
    """Return one conversation of the caller.

    Raises:
        ConversationNotFound: there is none such, or the caller never was in it.

    """
    return read(lambda connection: find_card(connection, user_id, conversation_id))


def change_settings(user_id: str, conversation_id: str, settings: Settings) -> Conversation:
    """Mute or pin a conversation for the caller alone. What is left out stays as it is.

    Raises:
        ConversationNotFound: there is none such, or the caller never was in it.

    """
    return perform(lambda unit: _change_settings(unit, user_id, conversation_id, settings))


def _list(
    connection: sa.Connection, user_id: str, after: Position | None, limit: int
) -> tuple[Sequence[sa.Row[Any]], dict[str, Conversation]]:
    rows = repository.list_conversations(connection, user_id, after, limit)
    return rows, {seen.id: seen for seen in cards.show(connection, rows)}


def _change_settings(unit: UnitOfWork, user_id: str, conversation_id: str, settings: Settings) -> Conversation:
    before = find_card(unit.connection, user_id, conversation_id)
    values = settings.model_dump(exclude_none=True)
    if all(getattr(before, name) == value for name, value in values.items()):
        return before
    repository.change_settings(unit.connection, user_id, conversation_id, **values)
    feed.note(unit.connection, [user_id], "conversation", conversation_id)
    seen = find_card(unit.connection, user_id, conversation_id)
    unit.announce(event("conversation.updated", UsersAudience(user_ids=[user_id]), conversation=seen))
    return seen


def _position(user_id: str, cursor: str) -> Position:
    began_at, activity_at, conversation_id = decode_cursor(_CONVERSATIONS, user_id, cursor)
    return Position(datetime.fromisoformat(began_at), datetime.fromisoformat(activity_at), conversation_id)
