"""A search index that is derived from MySQL, can be lost whole, and only becomes newer (architecture, decision 19).

Its alias stands for the index that answers; while another is filled, the alias with ``-next`` stands for that one and
changes go to both. Nothing is ever written but through an alias (``require_alias``): a write that finds none is
refused, where OpenSearch would else make an index of its own.

So long as there is no index, searching answers 503 and changes wait in the queue: an index that was begun by the next
change would answer at once, and wrongly, that nothing else exists. ``hongyan.reindexing`` sees to it within a minute.

How far an index is filled stands in its own mapping (``_meta``): it comes, goes and is lost with the documents that it
speaks of, so the two cannot disagree, as a row of MySQL could after the engine was lost.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from hongyan import metrics, stores
from hongyan.clock import now
from hongyan.errors import SearchUnavailable
from hongyan.ids import new_id
from hongyan.metrics import Metric
from hongyan.observability import logger

Json = dict[str, Any]
R = TypeVar("R")

# A search is bound by the client's own time-out; these are waited for by nobody.
_WRITE_SECONDS = 4
_MANAGEMENT_SECONDS = 30

# A filling that stood still for longer is not gone on with. Far less than the twelve hours for which the queues keep a
# change that the engine does not take: what is gone on with has been given every change, or will be. And an index that
# has become useless is not tried for ever.
_LONGEST_STANDSTILL = timedelta(hours=1)

# Written, or known to be newer already.
_TAKEN = {200, 201, 409}


class Document(NamedTuple):
    """What is indexed of a row. Of two versions the higher counts, whichever comes last."""

    id: str
    version: int
    fields: Json


class Hit(NamedTuple):
    """What was found, and what a cursor needs to go on behind it."""

    id: str
    position: list[Any]


class HalfMade(NamedTuple):
    """An index whose filling was cut off, and the key of the last row that is surely in it."""

    name: str
    position: list[Any]


class SearchIndex(Generic[R]):
    """An index of rows of one kind. ``shape`` is to be raised with every change of ``definition`` or of the documents.

    An index of another shape is then made anew. ``search_time`` is how its answers are measured, in ms.
    """

    def __init__(
        self, alias: str, shape: int, definition: Json, document: Callable[[R], Document], search_time: Metric
    ) -> None:
        self.alias = alias
        self.shape = shape
        self.definition = definition
        self._document = document
        self._search_time = search_time

    def search(self, query: Json, sort: Sequence[Json], after: list[Any] | None, limit: int) -> list[Hit]:
        """Return up to ``limit`` hits in the order of ``sort``, behind a position.

        Raises:
            SearchUnavailable: the engine does not answer in time, or has no index yet.

        """
        body: Json = {
            "query": query,
            "sort": list(sort),
            "size": limit,
            "_source": False,
            "track_total_hits": False,
        }
        if after is not None:
            body["search_after"] = after
        began = time.monotonic()
        try:
            with _engine():
                answer = stores.search_client().search(
                    index=self.alias, body=body, allow_partial_search_results="false"
                )
        except SearchUnavailable:
            metrics.count(Metric.SEARCHES_FAILED)
            raise
        metrics.record(self._search_time, (time.monotonic() - began) * 1_000)
        return [Hit(hit["_id"], hit["sort"]) for hit in answer["hits"]["hits"]]

    def write(self, rows: Sequence[R]) -> set[str]:
        """Write what the rows say to the index that answers and to the one being made, if any.

        Returns the ids of those that were not taken. What the index knows to be newer stays, and counts as written.
        The one being made comes first: if the two change places in between, it is the one that answers then.

        Raises:
            SearchUnavailable: the engine does not answer; how much was written is unknown, and may be written again.

        """
        results = self._bulk(rows, [self._next, self.alias], _WRITE_SECONDS)
        taken_by = {self._next: _TAKEN | {404}, self.alias: _TAKEN}
        return {document.id for alias, document, status in results if status not in taken_by[alias]}

    def begin(self) -> str:
        """Make an empty index, to which changes go from now on, and return its name."""
        name = f"{self._of_shape}{new_id().lower()}"
        with _engine():
            indices = stores.search_client().indices
            template = {"index_patterns": [self._every], "template": self.definition}
            indices.put_index_template(name=self.alias, body=template, request_timeout=_MANAGEMENT_SECONDS)
            indices.create(index=name, body={"aliases": {self._next: {}}}, request_timeout=_MANAGEMENT_SECONDS)
        return name

    def fill(self, rows: Sequence[R]) -> None:
        """Write rows to the index being made.

        Raises:
            SearchUnavailable: it did not take all of them.

        """
        if any(status not in _TAKEN for _, _, status in self._bulk(rows, [self._next], _MANAGEMENT_SECONDS)):
            raise SearchUnavailable

    def keep(self, name: str, position: list[Any]) -> None:
        """Remember with the index being made that it holds all rows up to a position, for who goes on with it."""
        kept = {"position": position, "kept_at": now().timestamp()}
        with _engine():
            indices = stores.search_client().indices
            indices.put_mapping(index=name, body={"_meta": kept}, request_timeout=_MANAGEMENT_SECONDS)

    def half_made(self) -> HalfMade | None:
        """Return the index of the present shape whose filling was cut off within the last hour, if there is one.

        One that was cut off in its first page is not worth it.
        """
        with _engine():
            indices = stores.search_client().indices
            found = indices.get(index=f"{self._of_shape}*", request_timeout=_MANAGEMENT_SECONDS)
        for name, index in found.items():
            kept = index["mappings"].get("_meta")
            if self._next not in index["aliases"] or kept is None:
                continue
            if now() - datetime.fromtimestamp(kept["kept_at"], UTC) < _LONGEST_STANDSTILL:
                return HalfMade(name, kept["position"])
        return None

    def finish(self, name: str) -> None:
        """Let a filled index answer from now on, at one stroke, and remove all others."""
        with _engine():
            indices = stores.search_client().indices
            indices.refresh(index=name, request_timeout=_MANAGEMENT_SECONDS)
            before = [{"remove": {"index": index, "alias": self.alias}} for index in self._answering()]
            after = [
                {"add": {"index": name, "alias": self.alias}},
                {"remove": {"index": name, "alias": self._next}},
            ]
            indices.update_aliases(body={"actions": [*before, *after]}, request_timeout=_MANAGEMENT_SECONDS)
        self.remove_leftovers()

    def is_there(self) -> bool:
        """Tell whether an index of the present shape answers."""
        with _engine():
            return any(name.startswith(self._of_shape) for name in self._answering())

    def remove_leftovers(self, spared: HalfMade | None = None) -> None:
        """Delete every index that does not answer, but the one to go on with: replaced ones, and those cut off."""
        with _engine():
            leftovers = {name for name, aliases in self._indices().items() if self.alias not in aliases}
            if spared is not None:
                leftovers.discard(spared.name)
            if leftovers:
                stores.search_client().indices.delete(index=",".join(leftovers), request_timeout=_MANAGEMENT_SECONDS)
                logger.info("removed indices that do not answer", indices=sorted(leftovers))

    @property
    def _next(self) -> str:
        return f"{self.alias}-next"

    @property
    def _every(self) -> str:
        return f"{self.alias}-v*"

    @property
    def _of_shape(self) -> str:
        return f"{self.alias}-v{self.shape}-"

    def _bulk(self, rows: Sequence[R], aliases: Sequence[str], seconds: int) -> list[tuple[str, Document, int]]:
        targets = [(alias, document) for document in map(self._document, rows) for alias in aliases]
        if not targets:
            return []
        lines: list[Json] = []
        for alias, document in targets:
            version = {"version": document.version, "version_type": "external_gte"}
            lines += [{"index": {"_index": alias, "_id": document.id, **version}}, document.fields]
        with _engine():
            answer = stores.search_client().bulk(body=lines, require_alias="true", request_timeout=seconds)
        results = [item["index"] for item in answer["items"]]
        for result in results:
            if result["status"] not in _TAKEN | {404}:
                reason = result["error"]["type"]
                logger.error("a search index refused a document", id=result["_id"], index=self.alias, reason=reason)
        return [(alias, document, r["status"]) for (alias, document), r in zip(targets, results, strict=True)]

    def _indices(self) -> dict[str, set[str]]:
        answer = stores.search_client().indices.get_alias(index=self._every, request_timeout=_MANAGEMENT_SECONDS)
        return {name: set(index["aliases"]) for name, index in answer.items()}

    def _answering(self) -> list[str]:
        return [name for name, aliases in self._indices().items() if self.alias in aliases]


def phrase(field: str, text: str) -> Json:
    """Return the condition that a field holds the words of ``text``, one right after the other."""
    return {"match_phrase": {field: text}}


def either(conditions: Iterator[Json] | Sequence[Json]) -> Json:
    """Return the condition that one of the conditions holds."""
    return {"bool": {"should": list(conditions), "minimum_should_match": 1}}


def every(conditions: Iterator[Json] | Sequence[Json]) -> Json:
    """Return the condition that all of the conditions hold."""
    return {"bool": {"must": list(conditions)}}


def best_of(ways: Sequence[tuple[int, Json]]) -> Json:
    """Return the query that scores what it finds by the best way in which it matches.

    Each way's score is the same for all whom it matches, so a position means the same on every replica and after every
    change of others: pages neither repeat nor skip.
    """
    scored = [{"constant_score": {"filter": condition, "boost": score}} for score, condition in ways]
    return {"dis_max": {"queries": scored}}


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
