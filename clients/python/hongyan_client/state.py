"""What a device knows, in SQLite: it is as the server has it after each sync, whatever was lost or broken off before.

Two ways lead in, and they may overtake each other. Sync tells everything in order, page by page; a page and the cursor
behind it are written in one transaction. Live events are faster and come in any order, so only that is taken from them
which bears its own order: a message (the higher ``change_seq`` counts), how far somebody has read and from where on one
may read (neither goes back), and a conversation that was not known. Of all else they only say that it is time to sync.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from hongyan_client.errors import ApiError, HongyanError
from hongyan_client.events import (
    ConnectionLost,
    ConversationCreated,
    ConversationUpdated,
    FriendAccepted,
    LiveEvent,
    MessageEvent,
    MessageRead,
    MessageUpdated,
    PresenceChanged,
    Typing,
)
from hongyan_client.models import (
    Blocked,
    Changes,
    Conversation,
    Friend,
    FriendRequest,
    MemberState,
    Message,
    Model,
    OwnSession,
    Page,
    Reading,
)

_VERSION = 2
_PAGE = 100
_BUSY_SECONDS = 30.0
# What the server answers to a cursor that leads nowhere any more.
_LOST_CURSOR = {"sync_cursor_expired", "invalid_cursor"}

_TABLES = {
    "state": "id INTEGER PRIMARY KEY CHECK (id = 1), user_id TEXT NOT NULL, cursor TEXT, generation INTEGER NOT NULL",
    "conversations": "id TEXT PRIMARY KEY, card TEXT NOT NULL, whole_from INTEGER",
    "beginnings": "conversation_id TEXT PRIMARY KEY, seq INTEGER NOT NULL",
    "messages": "conversation_id TEXT, seq INTEGER, change_seq INTEGER NOT NULL, is_hidden INTEGER NOT NULL, "
    "body TEXT NOT NULL, PRIMARY KEY (conversation_id, seq)",
    "hidden": "conversation_id TEXT, seq INTEGER, PRIMARY KEY (conversation_id, seq)",
    "receipts": "conversation_id TEXT, user_id TEXT, seq INTEGER NOT NULL, PRIMARY KEY (conversation_id, user_id)",
    "members": "conversation_id TEXT, user_id TEXT, body TEXT NOT NULL, PRIMARY KEY (conversation_id, user_id)",
    "friends": "id TEXT PRIMARY KEY, body TEXT NOT NULL",
    "friend_requests": "id TEXT PRIMARY KEY, body TEXT NOT NULL",
    "blocks": "id TEXT PRIMARY KEY, body TEXT NOT NULL",
    "sessions": "id TEXT PRIMARY KEY, body TEXT NOT NULL",
}

Kind = TypeVar("Kind", bound=Model)


class Source(Protocol):
    """Where the state comes from: a HongyanClient."""

    async def sync(self, cursor: str | None = None, *, limit: int = 100) -> Changes:
        """See HongyanClient."""

    async def history(self, conversation_id: str, *, before_seq: int | None = None, limit: int = 20) -> Page[Message]:
        """See HongyanClient."""


class LocalState:
    """The state of ``user_id`` on this device, in a file that only its owner can read.

    Programs may share it: each writes whole transactions, and a page that another one was faster to write is left out.
    A file of another version of this library, or of somebody else, is begun anew.

    Raises HongyanError for a file that is none of SQLite's.
    """

    def __init__(self, path: Path, user_id: str) -> None:
        self._user_id = user_id
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its other files, the log among them, the mode of this one.
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            with self._writing():
                if not self._is_own():
                    self._create()
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise HongyanError(f"{path} cannot be read ({error}); without it, all is asked for anew.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # Keeping up.

    async def sync(
        self, source: Source, *, limit: int = _PAGE, tell: Callable[[Changes], object] = lambda _: None
    ) -> None:
        """Take over all that changed; ``tell`` is called with each page once it is written.

        Broken off at any point, it goes on there the next time. Where the cursor leads nowhere any more, the state is
        begun anew. Raises what ``source`` raises.
        """
        try:
            await self._go_on(source, limit, tell)
        except ApiError as error:
            if error.code not in _LOST_CURSOR:
                raise
            await self._take_anew(source, limit, tell)

    async def fill(self, source: Source, conversation_id: str, *, limit: int = _PAGE) -> bool:
        """Take over a page of history before what is there of a conversation; tell whether there may be more.

        Raises what ``source`` raises.
        """
        generation, before_seq = self._generation(), self._whole_from(conversation_id)
        page = await source.history(conversation_id, before_seq=before_seq, limit=limit)
        with self._writing():
            if self._generation() != generation:
                # What was asked for is older than the state that was taken over meanwhile.
                return True
            for message in page.items:
                self._put_message(message)
            reached = page.items[0].seq if page.items and page.next_cursor else 1
            self._database.execute(
                "UPDATE conversations SET whole_from = ? WHERE id = ? AND (whole_from IS NULL OR whole_from > ?)",
                (reached, conversation_id, reached),
            )
        return page.next_cursor is not None

    @property
    def cursor(self) -> str | None:
        """Up to where the state is taken over; None before the first page."""
        cursor: str | None = self._one("SELECT cursor FROM state")
        return cursor

    def apply(self, changes: Changes, *, after: str | None) -> bool:
        """Write the page that was asked for ``after`` a cursor, and the cursor behind it: both or nothing.

        A page that does not follow what is there says nothing new: it is left out, and False is returned.
        """
        with self._writing():
            if self.cursor != after:
                return False
            self._write(changes)
        return True

    def begin_anew(self, pages: Sequence[Changes]) -> None:
        """Put the state of these pages, of which the first was asked for without a cursor, in place of what is there.

        History that was filled in goes with it: what became of it meanwhile nobody told.
        """
        with self._writing():
            for table in _TABLES.keys() - {"state"}:
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608  # names of this file
            self._database.execute("UPDATE state SET generation = generation + 1")
            for page in pages:
                self._write(page)

    def receive(self, event: LiveEvent) -> bool:
        """Take from a live event what bears its own order; tell whether sync has more to say about it."""
        match event:
            case MessageEvent(message=message) | MessageUpdated(message=message):
                with self._writing():
                    self._put_message(message)
            case MessageRead(reading=reading):
                with self._writing():
                    self._move_receipt(reading)
            case ConversationCreated() | ConversationUpdated() | FriendAccepted():
                with self._writing():
                    self._put_unknown_conversation(event.conversation)
            case PresenceChanged() | Typing() | ConnectionLost():
                return False
        return True

    # What is there.

    def conversations(self) -> list[Conversation]:
        """Return all conversations, newest activity first, each with the last message that is here and not hidden."""
        rows = self._database.execute(
            "SELECT card, (SELECT body FROM messages WHERE conversation_id = id AND seq >= whole_from "
            "AND NOT is_hidden ORDER BY seq DESC LIMIT 1) FROM conversations"
        )
        found = [
            Conversation.model_validate_json(card).model_copy(
                update={"last_message": None if last is None else Message.model_validate_json(last)}
            )
            for card, last in rows
        ]
        return sorted(found, key=lambda each: (each.last_activity_at, each.id), reverse=True)

    def messages(
        self,
        conversation_id: str,
        *,
        before_seq: int | None = None,
        after_seq: int | None = None,
        limit: int = _PAGE,
    ) -> list[Message]:
        """Return messages in ascending ``seq``: the ``limit`` newest, or the nearest to a ``seq``.

        From the oldest one to the newest that was synced none is missing but those that one has hidden; `fill` brings
        older ones.
        """
        order = "DESC" if after_seq is None else "ASC"
        rows = self._database.execute(
            "SELECT body FROM messages JOIN conversations ON id = conversation_id AND seq >= whole_from "  # noqa: S608
            f"WHERE conversation_id = ? AND seq < ? AND seq > ? AND NOT is_hidden ORDER BY seq {order} LIMIT ?",
            (conversation_id, 2**63 - 1 if before_seq is None else before_seq, after_seq or 0, limit),
        )
        return sorted((Message.model_validate_json(body) for (body,) in rows), key=lambda message: message.seq)

    def receipts(self, conversation_id: str) -> dict[str, int]:
        """Return up to where the others have read, in singles and in groups of up to 50."""
        rows = self._database.execute("SELECT user_id, seq FROM receipts WHERE conversation_id = ?", (conversation_id,))
        return dict(rows.fetchall())

    def members(self, conversation_id: str) -> list[MemberState]:
        """Return what became of members since the first sync; all of a group are asked for with HongyanClient."""
        return self._all(MemberState, "members WHERE conversation_id = ?", conversation_id)

    def friends(self) -> list[Friend]:
        """Return all friends; whether they are connected is as it was when they were told of."""
        return self._all(Friend, "friends")

    def friend_requests(self) -> list[FriendRequest]:
        """Return the requests that were open at the first sync or came later, by or to oneself."""
        return self._all(FriendRequest, "friend_requests")

    def blocked(self) -> list[Blocked]:
        """Return all whom one has blocked."""
        return self._all(Blocked, "blocks")

    def sessions(self) -> list[OwnSession]:
        """Return all sessions of one's own."""
        return self._all(OwnSession, "sessions")

    # The rules.

    async def _go_on(self, source: Source, limit: int, tell: Callable[[Changes], object]) -> None:
        while True:
            after = self.cursor
            page = await source.sync(after, limit=limit)
            if not self.apply(page, after=after):
                # Another program was faster: on from where it came to.
                continue
            tell(page)
            if not page.has_more:
                return

    async def _take_anew(self, source: Source, limit: int, tell: Callable[[Changes], object]) -> None:
        pages = [await source.sync(limit=limit)]
        while pages[-1].has_more:
            pages.append(await source.sync(pages[-1].next_cursor, limit=limit))
        self.begin_anew(pages)
        for page in pages:
            tell(page)

    def _write(self, changes: Changes) -> None:
        for card in changes.conversations:
            self._put_conversation(card)
        for gone in changes.hidden:
            self._put_hidden(gone.conversation_id, gone.seq)
        for message in changes.messages:
            self._put_message(message)
        self._note_where_it_begins(changes.messages)
        for member in changes.members:
            self._put_member(member)
        for reading in changes.receipts:
            self._put_receipt(reading)
        self._write_people(changes)
        self._database.execute("UPDATE state SET cursor = ?", (changes.next_cursor,))

    def _write_people(self, changes: Changes) -> None:
        for friend in changes.friends:
            self._put("friends", (friend.user.id,), friend)
            # A profile that changed is told with the friend alone.
            self._database.execute(
                "UPDATE conversations SET card = json_set(card, '$.peer', json(?)) "
                "WHERE json_extract(card, '$.peer.id') = ?",
                (friend.user.model_dump_json(), friend.user.id),
            )
        self._drop("friends", changes.removed_friend_ids)
        for request in changes.friend_requests:
            self._put("friend_requests", (request.id,), request)
        for blocked in changes.blocks:
            self._put("blocks", (blocked.user.id,), blocked)
            # What they ask is not shown; what still waits is told with the end of the block.
            self._database.execute(
                "DELETE FROM friend_requests WHERE json_extract(body, '$.from_user.id') = ?", (blocked.user.id,)
            )
        self._drop("blocks", changes.unblocked_ids)
        if changes.sessions is not None:
            self._database.execute("DELETE FROM sessions")
            for session in changes.sessions:
                self._put("sessions", (session.id,), session)

    def _put_conversation(self, card: Conversation) -> None:
        self._database.execute(
            "INSERT INTO conversations (id, card) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET card = excluded.card",
            (card.id, card.model_dump_json(exclude={"last_message"})),
        )
        self._begin_at(card.id, card.first_seq)
        if card.kind == "group" and card.role is None:
            # Who left is not told who is in it any more.
            self._forget_members(card.id)

    def _put_unknown_conversation(self, card: Conversation) -> None:
        """Take a card over from an event; one that is known may be newer, and sync tells."""
        self._database.execute(
            "INSERT INTO conversations (id, card) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
            (card.id, card.model_dump_json(exclude={"last_message"})),
        )
        self._begin_at(card.id, card.first_seq)

    def _note_where_it_begins(self, messages: Iterable[Message]) -> None:
        """Note from where on a conversation's messages are all here: sync tells what comes after the first it told."""
        first: dict[str, int] = {}
        for message in messages:
            first[message.conversation_id] = min(message.seq, first.get(message.conversation_id, message.seq))
        self._database.executemany(
            "UPDATE conversations SET whole_from = ? WHERE id = ? AND whole_from IS NULL",
            [(seq, conversation_id) for conversation_id, seq in first.items()],
        )

    def _put_message(self, message: Message) -> None:
        place = (message.conversation_id, message.seq)
        if message.seq < (self._one("SELECT seq FROM beginnings WHERE conversation_id = ?", place[0]) or 0):
            return
        if message.hidden:
            self._put_hidden(*place)
        elif self._one("SELECT 1 FROM hidden WHERE conversation_id = ? AND seq = ?", *place):
            message = message.hide()
        self._database.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?) ON CONFLICT (conversation_id, seq) DO UPDATE SET "
            "change_seq = excluded.change_seq, is_hidden = excluded.is_hidden, body = excluded.body "
            "WHERE excluded.change_seq >= messages.change_seq",
            (*place, message.change_seq, message.hidden, message.model_dump_json()),
        )

    def _put_hidden(self, conversation_id: str, seq: int) -> None:
        place = (conversation_id, seq)
        self._database.execute("INSERT OR IGNORE INTO hidden VALUES (?, ?)", place)
        body = self._one("SELECT body FROM messages WHERE conversation_id = ? AND seq = ? AND NOT is_hidden", *place)
        if body is not None:
            self._database.execute(
                "UPDATE messages SET is_hidden = 1, body = ? WHERE conversation_id = ? AND seq = ?",
                (Message.model_validate_json(body).hide().model_dump_json(), *place),
            )

    def _begin_at(self, conversation_id: str, first_seq: int) -> None:
        """Forget what was before one came into a group again, as who comes for the first time does not know it.

        What was said one may not read any more; of who is in it and has read what, nobody told in between.
        """
        known: int = self._one("SELECT seq FROM beginnings WHERE conversation_id = ?", conversation_id) or 0
        if first_seq <= known:
            return
        place = (conversation_id, first_seq)
        self._database.execute(
            "INSERT INTO beginnings VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq", place
        )
        self._database.execute("DELETE FROM messages WHERE conversation_id = ? AND seq < ?", place)
        self._forget_members(conversation_id)

    def _forget_members(self, conversation_id: str) -> None:
        for table in ("members", "receipts"):
            self._database.execute(f"DELETE FROM {table} WHERE conversation_id = ?", (conversation_id,))  # noqa: S608

    def _put_member(self, member: MemberState) -> None:
        place = (member.conversation_id, member.user_id)
        self._put("members", place, member)
        if not member.is_present:
            # How far they read before they left is told to nobody any more.
            self._database.execute("DELETE FROM receipts WHERE conversation_id = ? AND user_id = ?", place)

    def _put_receipt(self, reading: Reading) -> None:
        self._database.execute(
            "INSERT INTO receipts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
            (reading.conversation_id, reading.user_id, reading.seq),
        )

    def _move_receipt(self, reading: Reading) -> None:
        """Take a reading over from an event, of whom sync tells: an event that is late may speak of others.

        How far those read since, who left or whom one left, is told to nobody, so it would stay what it was.
        """
        self._database.execute(
            "UPDATE receipts SET seq = max(seq, ?) WHERE conversation_id = ? AND user_id = ?",
            (reading.seq, reading.conversation_id, reading.user_id),
        )

    # The file.

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.commit()
        except BaseException:
            self._database.rollback()
            raise

    def _is_own(self) -> bool:
        if self._one("PRAGMA user_version") != _VERSION:
            return False
        return bool(self._one("SELECT user_id FROM state") == self._user_id)

    def _create(self) -> None:
        names = self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            self._database.execute(f'DROP TABLE "{name}"')
        for name, columns in _TABLES.items():
            self._database.execute(f"CREATE TABLE {name} ({columns})")
        self._database.execute("INSERT INTO state VALUES (1, ?, NULL, 0)", (self._user_id,))
        self._database.execute(f"PRAGMA user_version = {_VERSION}")

    def _generation(self) -> int:
        return int(self._one("SELECT generation FROM state"))

    def _whole_from(self, conversation_id: str) -> int | None:
        seq: int | None = self._one("SELECT whole_from FROM conversations WHERE id = ?", conversation_id)
        return seq

    def _one(self, statement: str, *values: object) -> Any:
        row = self._database.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def _all(self, kind: type[Kind], rows: str, *values: object) -> list[Kind]:
        found = self._database.execute(f"SELECT body FROM {rows} ORDER BY rowid", values)  # noqa: S608
        return [kind.model_validate_json(body) for (body,) in found]

    def _put(self, table: str, key: tuple[str, ...], value: Model) -> None:
        marks = ", ".join("?" for _ in key)
        statement = f"INSERT INTO {table} VALUES ({marks}, ?) ON CONFLICT DO UPDATE SET body = excluded.body"  # noqa: S608
        self._database.execute(statement, (*key, value.model_dump_json()))

    def _drop(self, table: str, ids: Iterable[str]) -> None:
        self._database.executemany(f"DELETE FROM {table} WHERE id = ?", [(each,) for each in ids])  # noqa: S608
