"""What was said: messages found by their words, among those that somebody may read (contract, Message)."""

from hongyan import rate_limits
from hongyan.errors import ConversationNotFound
from hongyan.pagination import Page, decode_cursor, encode_cursor
from hongyan.search_index import Hit
from hongyan.unit_of_work import read

from functions.message import lines, message_index, search_repository
from functions.message.message_index import Wanted
from functions.message.schemas import FoundMessage, Highlight

# As people are searched: enough to search while one types.
SEARCHES_OF_ACCOUNT = rate_limits.at_most(120, 60, "message-searches-of-account")
SEARCHES_FROM_ADDRESS = rate_limits.at_most(1_200, 60, "message-searches-from-address")

# How often the engine is asked for one page, when much of what it finds is not shown: hidden, recalled or edited since.
_MOST_ROUNDS = 5


def search(user_id: str, wanted: Wanted, cursor: str | None, limit: int, address: str) -> Page[FoundMessage]:
    """Return a page of messages that hold what is wanted. The index finds them; they are shown as they are now.

    Raises:
        ConversationNotFound: there is none such, or the user never was in it.
        InvalidCursor: it is not of this question and this user.
        RateLimited: the user, or the source address, searches too often; without Redis nobody does.
        SearchUnavailable: the search engine does not answer.

    """
    rate_limits.take_if_counted(SEARCHES_OF_ACCOUNT, user_id)
    rate_limits.take_if_counted(SEARCHES_FROM_ADDRESS, rate_limits.subscriber(address))
    list_name = f"message_search:{wanted}"  # a cursor goes on with the question it came from, and no other
    after = None if cursor is None else decode_cursor(list_name, user_id, cursor)
    readable = read(lambda c: search_repository.list_readable(c, user_id, wanted.conversation_id))
    if not readable and wanted.conversation_id is not None:
        raise ConversationNotFound

    found: list[tuple[Hit, FoundMessage]] = []
    for _ in range(_MOST_ROUNDS):
        hits = message_index.search(wanted, readable, after, limit + 1)
        found += _shown(user_id, wanted, hits)
        after = hits[-1].position if len(hits) > limit else None
        if after is None or len(found) > limit:
            break
    if len(found) > limit:
        after = found[limit - 1][0].position
    return Page(
        items=[message for _, message in found[:limit]],
        next_cursor=None if after is None else encode_cursor(list_name, user_id, after),
    )


def _shown(user_id: str, wanted: Wanted, hits: list[Hit]) -> list[tuple[Hit, FoundMessage]]:
    """Return those of the hits that are so still: the index may be behind, and the user may have hidden some."""
    if not hits:
        return []
    messages = read(lambda c: search_repository.find_shown(c, user_id, [hit.id for hit in hits]))
    asked = lines.asked(wanted.text)
    shown = []
    for hit in hits:
        if (message := messages.get(hit.id)) is None:
            continue
        parts = lines.highlights(message_index.searchable_text(message), asked)
        if parts:
            highlights = [Highlight(start=part.start, end=part.end) for part in parts]
            shown.append((hit, FoundMessage(message=message, highlights=highlights)))
    return shown
