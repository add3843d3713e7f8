"""The list of conversations, each as its member sees it, and what it is to that member alone."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from hongyan.avatars import avatar
from hongyan.clock import rfc3339
from hongyan.errors import ConversationNotFound
from hongyan.events import UsersAudience, event
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.profiles import public_profile
from hongyan.schemas import Conversation, Message
from hongyan.tables import messages
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
    rows = read(lambda connection: repository.list_conversations(connection, user_id, after, limit + 1))

    def cursor_after(row: sa.Row[Any]) -> str:
        began_at = rows[0].order_at if after is None else after.began_at
        return encode_cursor(_CONVERSATIONS, user_id, [rfc3339(began_at), rfc3339(row.order_at), row.id])

    return page_of(rows, limit, view, cursor_after)


def conversation(user_id: str, conversation_id: str) -> Conversation:
    """Return one conversation of the caller.

    Raises:
        ConversationNotFound: there is none such, or the caller never was in it.

    """
    return read(lambda connection: seen_by(connection, user_id, conversation_id))


def change_settings(user_id: str, conversation_id: str, settings: Settings) -> Conversation:
    """Mute or pin a conversation for the caller alone. What is left out stays as it is.

    Raises:
        ConversationNotFound: there is none such, or the caller never was in it.

    """
    return perform(lambda unit: _change_settings(unit, user_id, conversation_id, settings))


def seen_by(connection: sa.Connection, user_id: str, conversation_id: str) -> Conversation:
    """Return a conversation as the user sees it.

    Raises:
        ConversationNotFound: there is none such, or the user never was in it.

    """
    row = repository.find_conversation(connection, user_id, conversation_id)
    if row is None:
        raise ConversationNotFound
    return view(row)


def view(row: sa.Row[Any]) -> Conversation:
    """Return a conversation as the member of the row sees it: to who left, a group shows no more than what it was."""
    is_group, is_present = row.kind == "group", row.left_seq is None
    return Conversation(
        id=row.id,
        kind=row.kind,
        peer=None if is_group else public_profile(row, "peer_"),
        name=row.name,
        avatar=avatar(row.avatar_file_id),
        member_count=row.member_count if is_present else None,
        announcement=row.announcement if is_present else None,
        role=row.role,
        last_message=_last_message(row),
        last_seq=row.end_seq,
        read_seq=row.read_seq,
        unread_count=row.end_seq - row.read_seq - row.own_after_read,
        muted=row.muted,
        pinned=row.pinned,
        created_at=row.created_at,
        last_activity_at=row.activity_at,
    )


def _change_settings(unit: UnitOfWork, user_id: str, conversation_id: str, settings: Settings) -> Conversation:
    before = seen_by(unit.connection, user_id, conversation_id)
    values = settings.model_dump(exclude_none=True)
    if all(getattr(before, name) == value for name, value in values.items()):
        return before
    repository.change_settings(unit.connection, user_id, conversation_id, **values)
    seen = seen_by(unit.connection, user_id, conversation_id)
    unit.announce(event("conversation.updated", UsersAudience(user_ids=[user_id]), conversation=seen))
    return seen


def _position(user_id: str, cursor: str) -> Position:
    began_at, activity_at, conversation_id = decode_cursor(_CONVERSATIONS, user_id, cursor)
    return Position(datetime.fromisoformat(began_at), datetime.fromisoformat(activity_at), conversation_id)


def _last_message(row: sa.Row[Any]) -> Message | None:
    if row.last_message_id is None:
        return None
    return Message.model_validate(
        {column.name: row._mapping[f"last_message_{column.name}"] for column in messages.c}  # noqa: SLF001
    )
