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
        self.commits = 0


@contextmanager
def counted() -> Iterator[Statements]:
    statements = Statements()

    def note(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        statements.texts.append(text)

    def note_commit(_c: Any) -> None:
        statements.commits += 1

    engine = stores.engine()
    sa.event.listen(engine, "before_cursor_execute", note)
    sa.event.listen(engine, "commit", note_commit)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
        sa.event.remove(engine, "commit", note_commit)
