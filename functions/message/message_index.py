"""The search index of messages: its shape, and its questions (architecture, decisions 19 to 21 and 38).

What a message says is one line of words (`functions.message.lines`), which OpenSearch only cuts at its blanks.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Literal, NamedTuple

from hongyan.metrics import Metric
from hongyan.schemas import Message
from hongyan.search_index import Document, Hit, Json, SearchIndex, best_of, either, every, phrase

from functions.message import lines
from functions.message.search_repository import Readable

Order = Literal["relevance", "time"]

_INDEX: Json = {
    "settings": {
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        "analysis": {
            # A word by its first letters, and whole: with the full stop behind it.
            "filter": {"starts": {"type": "edge_ngram", "min_gram": 1, "max_gram": lines.LONGEST_WORD + 1}},
            "analyzer": {
                "words": {"type": "custom", "tokenizer": "whitespace"},
                "word_starts": {"type": "custom", "tokenizer": "whitespace", "filter": ["starts"]},
            },
        },
    },
    "mappings": {
        "dynamic": "strict",
        "properties": {
            "id": {"type": "keyword"},
            "conversation_id": {"type": "keyword"},
            "seq": {"type": "long"},
            "sender_id": {"type": "keyword"},
            "type": {"type": "keyword"},
            "created_at": {"type": "date", "format": "epoch_millis"},
            "text": {"type": "text", "analyzer": "word_starts", "search_analyzer": "words", "norms": False},
        },
    },
}

_ORDERS: dict[Order, list[Json]] = {
    "relevance": [{"_score": "desc"}, {"created_at": "desc"}, {"id": "desc"}],
    "time": [{"created_at": "desc"}, {"id": "desc"}],
}

# The engine takes 1,024 conditions a query, of which a window is two, and 65,536 values a condition. Who may read more
# than that costs another query for each as many.
_MOST_WINDOWS = 300
_MOST_WHOLE = 65_536

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Wanted(NamedTuple):
    """What is searched for, and where."""

    text: str
    order: Order
    conversation_id: str | None = None
    sender_id: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def search(wanted: Wanted, readable: Sequence[Readable], after: list[object] | None, limit: int) -> list[Hit]:
    """Return up to ``limit`` messages of what somebody may read, in the order that is wanted, behind a position.

    Raises:
        SearchUnavailable: the engine does not answer in time, or has no index yet.

    """
    asked = lines.asked(wanted.text)
    if not asked.words:
        return []  # blanks and punctuation are in no line
    hits = [
        hit
        for scope in _scopes(readable)
        for hit in MESSAGES.search(question(asked, wanted, scope), _ORDERS[wanted.order], after, limit)
    ]
    return sorted(hits, key=lambda hit: hit.position, reverse=True)[:limit]


def question(asked: lines.Asked, wanted: Wanted, scope: Json) -> Json:
    """Return the query: all as it stands, then all words; and of each, whole words before those that only begin so.

    Ways that come to the same, as all do for one character, are asked once, with the highest of their scores.
    """
    ways = [[asked.phrase], [asked.unfinished_phrase], asked.words, asked.unfinished_words]
    scored = [
        (score, every([phrase("text", words) for words in way]))
        for number, (score, way) in enumerate(zip((8, 4, 2, 1), ways, strict=True))
        if way not in ways[:number]
    ]
    return {"bool": {"must": best_of(scored), "filter": [scope, *_filters(wanted)]}}


def searchable_text(message: Message) -> str:
    """Return what a message can be found by: what was written, a file's name, or what was said once it is transcribed.

    What was recalled, or is the server's, cannot be found.
    """
    if message.recalled_at is not None:
        return ""
    match message.type:
        case "text":
            return str(message.content["text"])
        case "image" | "file":
            return str(message.content["name"])
        case "voice":
            return message.content["transcript"] or ""
        case _:
            return ""


def document(message: Message) -> Document:
    """Return what is indexed of a message.

    One that says nothing leaves its id alone, which nothing finds: were its document deleted, late news from before
    would bring it back (see `functions/user/user_index.py`).
    """
    words = lines.line(searchable_text(message)).words
    if not words:
        return Document(message.id, message.change_seq, {"id": message.id})
    fields = {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "seq": message.seq,
        "sender_id": message.sender_id,
        "type": message.type,
        "created_at": _milliseconds(message.created_at),
        "text": words,
    }
    return Document(message.id, message.change_seq, fields)


MESSAGES = SearchIndex("messages", 1, _INDEX, document, Metric.MESSAGE_SEARCH_TIME)


def _scopes(readable: Sequence[Readable]) -> Iterator[Json]:
    """Yield the conditions that a message is one that somebody may read: of each query, which then go together."""
    whole = [place.conversation_id for place in readable if place.is_whole]
    windows = [_window(place) for place in readable if not place.is_whole]
    for n in range(max(1, ceil(len(whole) / _MOST_WHOLE), ceil(len(windows) / _MOST_WINDOWS))):
        conversation_ids = whole[n * _MOST_WHOLE :][:_MOST_WHOLE]
        yield either([{"terms": {"conversation_id": conversation_ids}}, *windows[n * _MOST_WINDOWS :][:_MOST_WINDOWS]])


def _window(place: Readable) -> Json:
    seqs = {"gt": place.joined_seq} | ({} if place.left_seq is None else {"lte": place.left_seq})
    return {"bool": {"filter": [{"term": {"conversation_id": place.conversation_id}}, {"range": {"seq": seqs}}]}}


def _filters(wanted: Wanted) -> Iterator[Json]:
    if wanted.sender_id is not None:
        yield {"term": {"sender_id": wanted.sender_id}}
    if wanted.type is not None:
        yield {"term": {"type": wanted.type}}
    if wanted.since is not None:
        yield {"range": {"created_at": {"gte": _milliseconds(wanted.since)}}}
    if wanted.until is not None:
        yield {"range": {"created_at": {"lt": _milliseconds(wanted.until)}}}


def _milliseconds(moment: datetime) -> int:
    """Return the first whole millisecond that is not before a moment, and none from before there were messages."""
    return max(0, -((_EPOCH - moment) // _MILLISECOND))
