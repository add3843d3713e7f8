"""The search index of people: its shape, its questions, and how it is written so that it can only become newer.

It is derived from MySQL and can be lost whole. The alias `users` stands for the index that answers; while `reindex`
fills another, the alias `users-next` stands for that one and changes go to both. Nothing is ever written but through
an alias (``require_alias``): a write that finds none is refused, where OpenSearch would else make an index of its own.

So long as there is no index, searching answers 503 and changes wait in the queue: an index that was begun by the next
change would answer at once, and wrongly, that nobody else exists. `reindex` sees to it within a minute.

Text is cut into words here and not in OpenSearch, whose plain distribution can neither split every writing into
characters nor normalise Unicode. What is left to it is letter case and accents.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa
from hongyan import stores
from hongyan.errors import SearchUnavailable
from hongyan.ids import new_id
from hongyan.observability import logger

CURRENT, NEXT = "users", "users-next"

Row = sa.Row[Any]
Json = dict[str, Any]

# To be raised with every change of `_INDEX` or of how text is cut: an index of another shape is then made anew.
_SHAPE = 1
_INDICES = f"{CURRENT}-v*"

# A search is bound by the client's own time-out; these are waited for by nobody.
_WRITE_SECONDS = 5
_MANAGEMENT_SECONDS = 30

# Written, or known to be newer already.
_TAKEN = {200, 201, 409}

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

# Scripts that are written without blanks between words: each character is a word, and a part of a name is a phrase.
_CHARACTER_IS_WORD = re.compile(
    "[\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"  # iteration marks, kana
    "\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # bopomofo, small kana
    "\u1100-\u11ff\uac00-\ud7a3"  # Hangul
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Han
)
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f]")


class Hit(NamedTuple):
    """Somebody who was found, and what a cursor needs to go on behind them."""

    user_id: str
    position: list[Any]


def search(text: str, after: list[Any] | None, limit: int, excluded_user_ids: Sequence[str]) -> list[Hit]:
    """Return up to ``limit`` people, best first, behind a position.

    Every way to match has a score of its own, the same for all whom it matches, so that a position means the same on
    every replica and after every change of others: pages neither repeat nor skip. Among equals the shortest nickname is
    nearest to what was asked.

    Raises:
        SearchUnavailable: the engine does not answer in time, or has no index yet.

    """
    body: Json = {
        "query": question(text, excluded_user_ids),
        "sort": [{"_score": "desc"}, {"length": "asc"}, {"id": "asc"}],
        "size": limit,
        "_source": False,
        "track_total_hits": False,
    }
    if after is not None:
        body["search_after"] = after
    with _engine():
        answer = stores.search_client().search(index=CURRENT, body=body, allow_partial_search_results="false")
    return [Hit(hit["_id"], hit["sort"]) for hit in answer["hits"]["hits"]]


def question(text: str, excluded_user_ids: Sequence[str]) -> Json:
    """Return the query: exact username before exact nickname, beginning, part, and what may be a typing error."""
    plain = folded(text)
    ways: list[tuple[int, Json]] = [(64, {"term": {"username": plain}}), (32, {"term": {"nickname": plain}})]
    if asked := words(text):
        spaced = " ".join(asked)
        ways += [
            (32, _match("nickname_words.whole", spaced)),
            (16, _either(_match(f"{name}.whole_starts", spaced) for name in _NAMES)),
            (8, _every(_part(word) for word in asked)),
            (2, _every(_either([_part(word), *_mistyped("", word)]) for word in asked)),
        ]
        if whole := _mistyped(".whole", spaced):
            ways.append((2, _either(whole)))
    scored = [{"constant_score": {"filter": condition, "boost": score}} for score, condition in ways]
    return {"bool": {"must": {"dis_max": {"queries": scored}}, "must_not": {"terms": {"id": list(excluded_user_ids)}}}}


def folded(text: str) -> str:
    """Return text with one form for each character, full-width and ornamental letters too, and nothing invisible."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return _VARIATION_SELECTORS.sub("", visible).strip()


def words(text: str) -> list[str]:
    """Cut text at blanks and punctuation; inside a word, blanks stand where letters, digits and characters meet."""
    separated = "".join(c if _kind(c) != "separator" else " " for c in folded(text))
    return [" ".join(_pieces(word)) for word in separated.split()]


def write(rows: Sequence[Row]) -> set[str]:
    """Write what the users' rows say to the index that answers and to the one being made, if any.

    Returns the ids of those that were not taken. What the index knows to be newer stays, and counts as written.
    ``users-next`` comes first: if the two change places in between, `users` is the one that `users-next` was.

    Raises:
        SearchUnavailable: the engine does not answer; how much was written is unknown, and may be written again.

    """
    results = _bulk(rows, [NEXT, CURRENT], _WRITE_SECONDS)
    return {row.id for alias, row, status in results if status not in (_TAKEN | {404} if alias == NEXT else _TAKEN)}


def begin() -> str:
    """Make an empty index, to which changes go from now on, and return its name."""
    name = f"{CURRENT}-v{_SHAPE}-{new_id().lower()}"
    with _engine():
        indices = stores.search_client().indices
        template = {"index_patterns": [_INDICES], "template": _INDEX}
        indices.put_index_template(name=CURRENT, body=template, request_timeout=_MANAGEMENT_SECONDS)
        indices.create(index=name, body={"aliases": {NEXT: {}}}, request_timeout=_MANAGEMENT_SECONDS)
    return name


def fill(rows: Sequence[Row]) -> None:
    """Write users to the index being made.

    Raises:
        SearchUnavailable: it did not take all of them.

    """
    if any(status not in _TAKEN for _, _, status in _bulk(rows, [NEXT], _MANAGEMENT_SECONDS)):
        raise SearchUnavailable


def finish(name: str) -> None:
    """Let a filled index answer from now on, at one stroke, and remove all others."""
    with _engine():
        indices = stores.search_client().indices
        indices.refresh(index=name, request_timeout=_MANAGEMENT_SECONDS)
        before = [{"remove": {"index": index, "alias": CURRENT}} for index in _answering()]
        after = [{"add": {"index": name, "alias": CURRENT}}, {"remove": {"index": name, "alias": NEXT}}]
        indices.update_aliases(body={"actions": [*before, *after]}, request_timeout=_MANAGEMENT_SECONDS)
    remove_leftovers()


def is_there() -> bool:
    """Tell whether an index of the present shape answers."""
    with _engine():
        return any(name.startswith(f"{CURRENT}-v{_SHAPE}-") for name in _answering())


def remove_leftovers() -> None:
    """Delete every index that does not answer: replaced ones, and those of fillings that were cut off."""
    with _engine():
        leftovers = [name for name, aliases in _indices().items() if CURRENT not in aliases]
        if leftovers:
            stores.search_client().indices.delete(index=",".join(leftovers), request_timeout=_MANAGEMENT_SECONDS)
            logger.info("removed indices that do not answer", indices=leftovers)


def _document(row: Row) -> Json:
    """Return what may be known of somebody by searching: never a phone.

    A closed account leaves its id alone, which nothing finds. Were its document deleted, OpenSearch would forget the
    version after a minute (``index.gc_deletes``), and news from before the closing that came later would bring it back.
    """
    if row.closed_at is not None:
        return {"id": row.id}
    nickname = folded(row.nickname)
    return {
        "id": row.id,
        "username": row.username,
        "nickname": nickname,
        "username_words": " ".join(words(row.username)),
        "nickname_words": " ".join(words(row.nickname)),
        "length": len(nickname),
    }


def _bulk(rows: Sequence[Row], aliases: Sequence[str], seconds: int) -> list[tuple[str, Row, int]]:
    targets = [(alias, row) for row in rows for alias in aliases]
    if not targets:
        return []
    lines: list[Json] = []
    for alias, row in targets:
        version = {"version": row.version, "version_type": "external_gte"}
        lines += [{"index": {"_index": alias, "_id": row.id, **version}}, _document(row)]
    with _engine():
        answer = stores.search_client().bulk(body=lines, require_alias="true", request_timeout=seconds)
    results = [item["index"] for item in answer["items"]]
    for result in results:
        if result["status"] not in _TAKEN | {404}:
            logger.error("the search index refused somebody", user_id=result["_id"], reason=result["error"]["type"])
    return [(alias, row, result["status"]) for (alias, row), result in zip(targets, results, strict=True)]


def _indices() -> dict[str, set[str]]:
    answer = stores.search_client().indices.get_alias(index=_INDICES, request_timeout=_MANAGEMENT_SECONDS)
    return {name: set(index["aliases"]) for name, index in answer.items()}


def _answering() -> list[str]:
    return [name for name, aliases in _indices().items() if CURRENT in aliases]


@contextmanager
def _engine() -> Iterator[None]:
    """Take every failure of the engine for what it is to people: no search now. Its words may quote theirs: no log."""
    from opensearchpy.exceptions import OpenSearchException, TransportError  # noqa: PLC0415  # as `search_client`

    try:
        yield
    except OpenSearchException as error:
        status = error.status_code if isinstance(error, TransportError) else None
        logger.error("search is not available", kind=type(error).__name__, status=status)
        raise SearchUnavailable from None


_NAMES = ("nickname_words", "username_words")


def _match(field: str, text: str) -> Json:
    return {"match_phrase": {field: text}}


def _either(conditions: Iterator[Json] | Sequence[Json]) -> Json:
    return {"bool": {"should": list(conditions), "minimum_should_match": 1}}


def _every(conditions: Iterator[Json]) -> Json:
    return {"bool": {"must": list(conditions)}}


def _part(word: str) -> Json:
    return _either([_match(f"{name}.starts", word) for name in _NAMES])


def _mistyped(form: str, text: str) -> list[Json]:
    """Return what finds ``text`` with a letter wrong, two from eight letters on, but never the first.

    Only words of four letters and more: a letter is much of a short word, and all of a Chinese one. Nor numbers, whose
    neighbours are other people.
    """
    pieces = text.split()
    can_be = any(len(piece) >= 4 and not piece.isdecimal() for piece in pieces)  # noqa: PLR2004
    cannot_be = any(_CHARACTER_IS_WORD.match(p) or (p.isdecimal() and len(p) >= 4) for p in pieces)  # noqa: PLR2004
    if cannot_be or not can_be:
        return []
    how = {"query": text, "fuzziness": "AUTO:4,8", "prefix_length": 1, "operator": "and"}
    return [{"match": {f"{name}{form}": how}} for name in _NAMES]


def _pieces(word: str) -> Iterator[str]:
    for kind, characters in groupby(word, _kind):
        if kind in ("letters", "digits"):
            yield "".join(characters)
        else:
            yield from characters


def _kind(character: str) -> str:
    if _CHARACTER_IS_WORD.match(character):
        return "character"
    category = unicodedata.category(character)
    if category == "Cn":  # perhaps an emoji that this Python does not know yet
        return "symbol"
    return {"L": "letters", "M": "letters", "N": "digits", "S": "symbol"}.get(category[0], "separator")
