"""The route that searches messages: a function of its own, as it alone pays for OpenSearch's client."""

from typing import Annotated, Literal

from fastapi import Depends, Query
from hongyan.errors import (
    ConversationNotFound,
    InvalidCursor,
    RateLimited,
    SearchUnavailable,
    TokenInvalid,
    ValidationFailed,
)
from hongyan.pagination import Page
from hongyan.schemas import SearchText
from hongyan.web import Caller, CursorParameter, Limit, SourceAddress, create_app, known_id, lambda_handler, problems
from pydantic import AwareDatetime

from functions.message import search
from functions.message.message_index import Order, Wanted
from functions.message.schemas import FoundMessage

app = create_app("message search")
handler = lambda_handler(app)


def _wanted(
    q: Annotated[SearchText, Query(description="Words, or the beginnings of words; taken to the letter.")],
    *,
    conversation_id: Annotated[str | None, Query(description="Only there.")] = None,
    sender_id: Annotated[str | None, Query(max_length=36, description="Only what they said.")] = None,
    message_type: Annotated[Literal["text", "image", "file", "voice"] | None, Query(alias="type")] = None,
    since: Annotated[AwareDatetime | None, Query(alias="from", description="Sent at this time or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Sent before this time.")] = None,
    order: Annotated[Order, Query(description="Best first, or newest first.")] = "relevance",
) -> Wanted:
    if since is not None and until is not None and since > until:
        raise ValidationFailed.at(["query", "to"], "is before from")
    if conversation_id is not None:
        known_id(conversation_id, ConversationNotFound)
    return Wanted(q, order, conversation_id, sender_id, message_type, since, until)


@app.get(
    "/v1/messages/search",
    responses=problems(
        TokenInvalid, ConversationNotFound, InvalidCursor, ValidationFailed, RateLimited, SearchUnavailable
    ),
)
def search_messages(
    wanted: Annotated[Wanted, Depends(_wanted)],
    caller: Caller,
    address: SourceAddress,
    limit: Limit = 20,
    cursor: CursorParameter = None,
) -> Page[FoundMessage]:
    """Find messages by their words, among those that the caller may read; `highlights` says where in the text.

    Each word of `q` must be in the text, or begin a word of it; best is what holds all of `q` as it stands, newest
    first. What has no words, only blanks and punctuation, finds nothing. A page may hold fewer messages than asked for,
    and others follow, while `next_cursor` is not null.
    """
    return search.search(caller.user_id, wanted, cursor, limit, address)
