"""Long histories and many strangers, made past the API by the database itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now

# `seq_1_to_N` is MariaDB's own table of the numbers.
_APPEND = """
    INSERT INTO messages (conversation_id, seq, id, sender_id, client_id, request_hash, type, content, mentions,
                          created_at, change_seq, recalled_at, recalled_seq)
    SELECT c.id, c.last_seq + n.seq, CONCAT(RIGHT(c.id, 13), LPAD(c.last_seq + n.seq, 13, '0')),
           IF(n.seq % 2, :one, :other), CONCAT('c-', c.id, n.seq), REPEAT('h', 32), 'text', :content, '[]',
           DATE_SUB(:moment, INTERVAL (:count - n.seq) SECOND), c.last_seq + n.seq,
           IF(n.seq % 1000, NULL, :moment), IF(n.seq % 1000, NULL, c.last_seq + n.seq)
    FROM seq_{first}_to_{last} n JOIN conversations c ON c.id = :conversation_id
"""
_MOVE_END = """
    UPDATE conversations SET last_seq = last_seq + :count, change_seq = last_seq, last_activity_at = :moment
    WHERE id = :conversation_id
"""
_ADD_CONVERSATIONS = """
    INSERT INTO conversations (id, kind, pair, last_seq, last_activity_at, created_at)
    SELECT LPAD(n.seq, 26, 'C'), 'single', CONCAT(LPAD(n.seq, 26, 'A'), ':', LPAD(n.seq, 26, 'B')), 0, NOW(), NOW()
    FROM seq_1_to_{count} n
"""
_ADD_MEMBERS = """
    INSERT INTO members (conversation_id, user_id, read_seq, own_after_read, muted, pinned, joined_at)
    SELECT LPAD(n.seq, 26, 'C'), LPAD(n.seq, 26, :side), 0, 0, 0, 0, NOW() FROM seq_1_to_{count} n
"""
_AT_ONCE = 200_000


def fill_history(conversation_id: str, one: str, other: str, count: int, text: str = "hello") -> None:
    """Append many messages of two people in turn, a second between them; one in a thousand was recalled."""
    about = {"conversation_id": conversation_id, "count": count, "moment": now().replace(tzinfo=None)}
    said = {**about, "one": one, "other": other, "content": json.dumps({"text": text})}
    with patiently() as engine:
        for first in range(1, count + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, count)
            with engine.begin() as connection:
                connection.execute(sa.text(_APPEND.format(first=first, last=last)), said)
        with engine.begin() as connection:
            connection.execute(sa.text(_MOVE_END), about)


def fill_strangers(count: int) -> None:
    """Let there be many other conversations, of two strangers each, in which nothing was said."""
    with stores.engine().begin() as connection:
        connection.execute(sa.text(_ADD_CONVERSATIONS.format(count=count)))
        for side in ("A", "B"):
            connection.execute(sa.text(_ADD_MEMBERS.format(count=count)), {"side": side})


def measure_tables() -> None:
    """Let the optimizer know how large the tables are now."""
    with patiently() as engine, engine.begin() as connection:
        connection.execute(sa.text("ANALYZE TABLE messages, members, conversations, hidden_messages, outbox"))


def forget_histories() -> None:
    """Empty the table of messages at one stroke: row by row it would take longer than the functions wait."""
    with patiently() as engine, engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE TABLE messages"))


@contextmanager
def patiently() -> Iterator[sa.Engine]:
    """Open an engine that waits longer than functions do."""
    engine = sa.create_engine(stores.addresses().database_url, isolation_level="READ COMMITTED")
    yield engine
    engine.dispose()
