"""The search index of people: its shape, and its questions (architecture, decisions 19 to 21).

Text is cut into words by ``hongyan.words``. What is left to OpenSearch is letter case and accents.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from hongyan.metrics import Metric
from hongyan.search_index import Document, Hit, Json, SearchIndex, best_of, either, every, phrase
from hongyan.words import folded, kind_of, words

Row = sa.Row[Any]

_LOWER_WITHOUT_ACCENTS = ["lowercase", "asciifolding"]

_WORDS: Json = {
    "type": "text",
    "analyzer": "words",
    "fields": {
        # The first letters of each word.
        "starts": {"type": "text", "analyzer": "word_starts", "search_analyzer": "words"},
        # All words as one, so that "zhang san" and "zhangsan" find each other, and the first letters of that.
        "whole": {"type": "text", "analyzer": "whole"},
        "whole_starts": {"type": "text", "analyzer": "whole_starts", "search_analyzer": "whole"},
    },
}

_INDEX: Json = {
    "settings": {
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        "analysis": {
            "char_filter": {"without_blanks": {"type": "pattern_replace", "pattern": " ", "replacement": ""}},
            "filter": {"starts": {"type": "edge_ngram", "min_gram": 1, "max_gram": 64}},
            "normalizer": {"plain": {"type": "custom", "filter": _LOWER_WITHOUT_ACCENTS}},
            "analyzer": {
                "words": {"type": "custom", "tokenizer": "whitespace", "filter": _LOWER_WITHOUT_ACCENTS},
                "word_starts": {
                    "type": "custom",
                    "tokenizer": "whitespace",
                    "filter": [*_LOWER_WITHOUT_ACCENTS, "starts"],
                },
                "whole": {
                    "type": "custom",
                    "char_filter": ["without_blanks"],
                    "tokenizer": "keyword",
                    "filter": _LOWER_WITHOUT_ACCENTS,
                },
                "whole_starts": {
                    "type": "custom",
                    "char_filter": ["without_blanks"],
                    "tokenizer": "keyword",
                    "filter": [*_LOWER_WITHOUT_ACCENTS, "starts"],
                },
            },
        },
    },
    "mappings": {
        "dynamic": "strict",
        "properties": {
            "id": {"type": "keyword"},
            "username": {"type": "keyword", "normalizer": "plain"},
            "nickname": {"type": "keyword", "normalizer": "plain"},
            "username_words": _WORDS,
            "nickname_words": _WORDS,
            "length": {"type": "short"},
        },
    },
}

_NAMES = ("nickname_words", "username_words")


def search(text: str, after: list[Any] | None, limit: int, excluded_user_ids: Sequence[str]) -> list[Hit]:
    """Return up to ``limit`` people, best first, behind a position.

    Among equals the shortest nickname is nearest to what was asked.

    Raises:
        SearchUnavailable: the engine does not answer in time, or has no index yet.

    """
    order: list[Json] = [{"_score": "desc"}, {"length": "asc"}, {"id": "asc"}]
    return PEOPLE.search(question(text, excluded_user_ids), order, after, limit)


def question(text: str, excluded_user_ids: Sequence[str]) -> Json:
    """Return the query: exact username before exact nickname, beginning, part, and what may be a typing error."""
    plain = folded(text)
    ways: list[tuple[int, Json]] = [(64, {"term": {"username": plain}}), (32, {"term": {"nickname": plain}})]
    if asked := words(text):
        spaced = " ".join(asked)
        ways += [
            (32, phrase("nickname_words.whole", spaced)),
            (16, either(phrase(f"{name}.whole_starts", spaced) for name in _NAMES)),
            (8, every(_part(word) for word in asked)),
            (2, every(either([_part(word), *_mistyped("", word)]) for word in asked)),
        ]
        if whole := _mistyped(".whole", spaced):
            ways.append((2, either(whole)))
    return {"bool": {"must": best_of(ways), "must_not": {"terms": {"id": list(excluded_user_ids)}}}}


def document(row: Row) -> Document:
    """Return what may be known of somebody by searching: never a phone.

    A closed account leaves its id alone, which nothing finds. Were its document deleted, OpenSearch would forget the
    version after a minute (``index.gc_deletes``), and news from before the closing that came later would bring it back.
    """
    if row.closed_at is not None:
        return Document(row.id, row.version, {"id": row.id})
    nickname = folded(row.nickname)
    fields = {
        "id": row.id,
        "username": row.username,
        "nickname": nickname,
        "username_words": " ".join(words(row.username)),
        "nickname_words": " ".join(words(row.nickname)),
        "length": len(nickname),
    }
    return Document(row.id, row.version, fields)


PEOPLE = SearchIndex("users", 1, _INDEX, document, Metric.PERSON_SEARCH_TIME)


def _part(word: str) -> Json:
    return either([phrase(f"{name}.starts", word) for name in _NAMES])


def _mistyped(form: str, text: str) -> list[Json]:
    """Return what finds ``text`` with a letter wrong, two from eight letters on, but never the first.

    Only words of four letters and more: a letter is much of a short word, and all of a Chinese one. Nor numbers, whose
    neighbours are other people.
    """
    pieces = text.split()
    can_be = any(len(piece) >= 4 and not piece.isdecimal() for piece in pieces)  # noqa: PLR2004
    cannot_be = any(kind_of(p[0]) == "character" or (p.isdecimal() and len(p) >= 4) for p in pieces)  # noqa: PLR2004
    if cannot_be or not can_be:
        return []
    how = {"query": text, "fuzziness": "AUTO:4,8", "prefix_length": 1, "operator": "and"}
    return [{"match": {f"{name}{form}": how}} for name in _NAMES]
