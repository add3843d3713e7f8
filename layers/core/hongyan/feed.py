"""What sync tells somebody besides what their conversations show: noted with the change, placed in their feed later.

A note is written in the transaction of the change and locks nothing but itself. Sync gives it a position once it is
committed (functions/message/feed.py), so a change that commits late comes late, and none is skipped (architecture,
decision 6). A note that is there already stands for the new change too: sync deletes it only after whoever found it
there has committed, and reads after that what it is about.
"""

from collections.abc import Iterable
from typing import Literal

import sqlalchemy as sa

from hongyan.tables import conversations, feed_notes, friendships, members

# What became different: a friend (or the friendship itself), a request, a block, what a conversation is to its member
# alone, a message that is hidden now, the list of one's devices.
Kind = Literal["friend", "friend_request", "block", "conversation", "hidden", "sessions"]


def note(connection: sa.Connection, user_ids: Iterable[str], kind: Kind, subject_id: str, seq: int = 0) -> None:
    """Note a change for each of the people, in one statement."""
    rows = [{"user_id": user_id, "kind": kind, "subject_id": subject_id, "seq": seq} for user_id in user_ids]
    if rows:
        connection.execute(sa.insert(feed_notes).prefix_with("IGNORE").values(rows))


def note_for_friends(connection: sa.Connection, user_id: str) -> None:
    """Note for all friends of somebody that their profile is another."""
    of_friends = sa.select(friendships.c.friend_id, sa.literal("friend"), friendships.c.user_id, sa.literal(0)).where(
        friendships.c.user_id == user_id
    )
    columns = ["user_id", "kind", "subject_id", "seq"]
    connection.execute(sa.insert(feed_notes).prefix_with("IGNORE").from_select(columns, of_friends))


def note_for_peers(connection: sa.Connection, user_id: str) -> None:
    """Note for the other sides of somebody's singles that their conversation shows another profile."""
    peer = members.alias("peer")
    of_peers = (
        sa.select(peer.c.user_id, sa.literal("conversation"), members.c.conversation_id, sa.literal(0))
        .select_from(members)
        .join(conversations, conversations.c.id == members.c.conversation_id)
        .join(peer, peer.c.conversation_id == members.c.conversation_id)
        .where(members.c.user_id == user_id, conversations.c.kind == "single", peer.c.user_id != user_id)
    )
    columns = ["user_id", "kind", "subject_id", "seq"]
    connection.execute(sa.insert(feed_notes).prefix_with("IGNORE").from_select(columns, of_peers))
