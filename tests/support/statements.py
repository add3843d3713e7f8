"""The statements that the functions send to the database, counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from hongyan import stores


class Statements:
    """What was sent to the database."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parameters: list[Any] = []
        self.rows: list[int] = []
        self.commits = 0


@contextmanager
def counted() -> Iterator[Statements]:
    statements = Statements()

    def note(_c: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        statements.texts.append(text)
        statements.parameters.append(parameters)

    def note_rows(_c: Any, cursor: Any, *_: Any) -> None:
        statements.rows.append(cursor.rowcount)

    def note_commit(_c: Any) -> None:
        statements.commits += 1

    engine = stores.engine()
    sa.event.listen(engine, "before_cursor_execute", note)
    sa.event.listen(engine, "after_cursor_execute", note_rows)
    sa.event.listen(engine, "commit", note_commit)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
        sa.event.remove(engine, "after_cursor_execute", note_rows)
        sa.event.remove(engine, "commit", note_commit)
