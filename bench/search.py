"""What searching costs, among a million messages on a real OpenSearch: `python -m bench.search [MESSAGES]`.

The product's route, the query that it sends, and a plain `match` without a thought of who may read, in turn.
"""

import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from opensearchpy import OpenSearch

from bench import corpus
from bench.groups import in_one_process
from functions.message import lines, message_index, reindex
from local.failures import StackError
from local.opensearch.running import opensearch
from migrations import owner
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, Response
from tests.support.histories import forget_histories, measure_tables
from tests.support.people import Person
from tests.support.statements import counted

MESSAGES = 1_000_000

_TIMES = 31
_PAGE = 20
_POLL_SECONDS = 0.2
_NEVER_SAID = "quokka"

_INDEX = message_index.MESSAGES.alias


class _Message(NamedTuple):
    """One that the member may read, as MySQL has it."""

    id: str
    conversation_id: str
    sender_id: str
    created_at: datetime
    text: str


class _Question(NamedTuple):
    """What is asked for, in the words of the API and of the engine, and which of the messages answer it."""

    text: str
    pattern: str  # of Python's `re`, so that what is right is not what the product says it is
    parameters: dict[str, str]
    filters: list[dict[str, Any]]
    is_meant: Callable[[_Message], bool] = lambda _: True
    page: int = 1

    def answers(self, readable: list[_Message]) -> set[str]:
        pattern = re.compile(self.pattern, re.IGNORECASE)
        return {said.id for said in readable if pattern.search(said.text) and self.is_meant(said)}

    def path(self, limit: int, cursor: str | None) -> str:
        asked = {"q": self.text, "limit": str(limit), **self.parameters} | ({"cursor": cursor} if cursor else {})
        return f"/v1/messages/search?{urlencode(asked)}"


class _Asked(NamedTuple):
    """A question that was asked: what it finds, what that takes, and the three ways to ask it, to be timed."""

    readable: int
    everywhere: int
    statements: int
    queries: int
    ways: tuple[Callable[[], object], ...]


def report(url: str, count: int = MESSAGES) -> None:
    """Print what making the index and searching it cost on the OpenSearch at ``url``."""
    # The functions wait two seconds, which is too little for a node that has just begun on a busy machine.
    patient = OpenSearch([url], timeout=60, max_retries=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSEARCH_URL", url)
        with in_one_process() as deployment, pytest.MonkeyPatch.context() as with_patience:
            with_patience.setattr(stores, "search_client", lambda: patient)
            try:
                _measure(deployment, count)
            finally:
                forget_histories()
                deployment.empty()
                _remove_index()


def report_where_possible() -> None:
    """Print what it costs, or why there is no real OpenSearch to measure on."""
    with ExitStack() as context:
        try:
            url = context.enter_context(opensearch())
        except StackError as error:
            print(f"\n## Searching {MESSAGES:,} messages was left out\n\n{error}")
            return
        report(url)


def _measure(deployment: Deployment, count: int) -> None:
    member = Person.join(deployment.management, "searcher")
    corpus.fill(member, count)
    measure_tables()
    print(f"\n## The index of {count:,} messages made anew from MySQL\n")
    _report_reindex()
    readable = _readable(member)
    _cache_no_queries()
    asked = {name: _asked(member, question, readable) for name, question in _questions(member, readable).items()}
    seconds = _in_turn(asked)
    print(f"\n## Searching {count:,} messages (medians of {_TIMES}, in turn)\n")
    print(
        f"The member is or was in {corpus.OF_MEMBER} of {corpus.CONVERSATIONS:,} conversations and may read"
        f" {len(readable):,} of the messages.\n"
    )
    print(
        "| searched for | found, readable | found, all | statements | queries | route ms | its query ms"
        " | plain `match` ms | route ÷ query | query ÷ plain |"
    )
    print(f"|---|{'---|' * 9}")
    for name, question in asked.items():
        route, query, plain = seconds[name]
        milliseconds = " | ".join(f"{taken * 1000:.1f}" for taken in (route, query, plain))
        counts = f"{question.readable:,} | {question.everywhere:,} | {question.statements} | {question.queries}"
        print(f"| {name} | {counts} | {milliseconds} | {route / query:.1f} | {query / plain:.1f} |")


def _in_turn(asked: dict[str, _Asked]) -> dict[str, list[float]]:
    """Return how long each question takes in each of its ways, medians in seconds.

    All are asked once in each round, so that what else the machine does befalls all of them.
    """
    seconds: dict[str, tuple[list[float], ...]] = {name: tuple([] for _ in a.ways) for name, a in asked.items()}
    for _ in range(_TIMES):
        for name, question in asked.items():
            _forget_limits()
            for do, taken in zip(question.ways, seconds[name], strict=True):
                began = time.perf_counter()
                do()
                taken.append(time.perf_counter() - began)
    return {name: [statistics.median(taken) for taken in of_ways] for name, of_ways in seconds.items()}


def _questions(member: Person, readable: list[_Message]) -> dict[str, _Question]:
    """Return questions of every kind; each finds something, but the one for a word that nobody has said."""
    somewhere = readable[0].conversation_id
    since = now() - timedelta(days=30)
    milliseconds = int(since.timestamp() * 1000)
    the_frequent = _Question("的", "的", {}, [])
    return {
        "的, in every third": the_frequent,
        "的, second page": the_frequent._replace(page=2),
        "的, newest first": the_frequent._replace(parameters={"order": "time"}),
        "的, in one conversation": _Question(
            "的",
            "的",
            {"conversation_id": somewhere},
            [{"term": {"conversation_id": somewhere}}],
            lambda said: said.conversation_id == somewhere,
        ),
        "的, by one sender": _Question(
            "的",
            "的",
            {"sender_id": member.id},
            [{"term": {"sender_id": member.id}}],
            lambda said: said.sender_id == member.id,
        ),
        "的, of the last 30 days": _Question(
            "的",
            "的",
            {"from": since.isoformat()},
            [{"range": {"created_at": {"gte": milliseconds}}}],
            lambda said: said.created_at >= since,
        ),
        "天气, a word": _Question("天气", "天气", {}, []),
        "今天天气很好, a phrase": _Question("今天天气很好", "今天天气很好", {}, []),
        "meeting": _Question("meeting", r"(?<![a-z])meeting", {}, []),
        "proj, a beginning": _Question("proj", r"(?<![a-z])proj", {}, []),
        "p, a letter": _Question("p", r"(?<![a-z])p", {}, []),
        "Python 代码, two words": _Question("Python 代码", r"(?<![a-z])python.*代码|代码.*(?<![a-z])python", {}, []),
        f"{_NEVER_SAID}, which nobody said": _Question(_NEVER_SAID, _NEVER_SAID, {}, []),
    }


def _asked(member: Person, question: _Question, readable: list[_Message]) -> _Asked:
    found = _check(member, question, readable)
    path = question.path(_PAGE, _cursor(member, question))
    client, plain = stores.search_client(), _plain(question)
    with _sent() as queries, counted() as statements:
        _ask(member, path)
    everywhere = client.count(index=_INDEX, body={"query": plain["body"]["query"]})["count"]
    ways = (
        lambda: _ask(member, path),
        lambda: [client.search(**query) for query in queries],
        lambda: client.search(**plain),
    )
    return _Asked(found, everywhere, len(statements.texts), len(queries), ways)


def _plain(question: _Question) -> dict[str, Any]:
    """Return the query that one would write first: all the words, in any order, best first by the engine's score."""
    words = {"query": lines.asked(question.text).unfinished_phrase, "operator": "and"}
    query = {"bool": {"must": {"match": {"text": words}}, "filter": question.filters}}
    size = {"from": _PAGE * (question.page - 1), "size": _PAGE}
    return {"index": _INDEX, "body": {"query": query, "_source": False, "track_total_hits": False, **size}}


def _check(member: Person, question: _Question, readable: list[_Message]) -> int:
    """Return how many messages a question finds, having seen that they are those that answer it, each once."""
    found = list(_found(member, question))
    right = question.answers(readable)
    if sorted(found) != sorted(right):
        sys.exit(f"{question.text!r} finds {len(found)}, {len(set(found) - right)} of them wrongly, not {len(right)}")
    if not found and question.text != _NEVER_SAID:
        sys.exit(f"nobody has said {question.text!r}: there are too few messages to measure with")
    return len(found)


def _found(member: Person, question: _Question) -> Iterator[str]:
    """Yield the ids on all pages."""
    cursor = None
    while True:
        _forget_limits()
        page = _ask(member, question.path(100, cursor)).json
        yield from (item["message"]["id"] for item in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _cursor(member: Person, question: _Question) -> str | None:
    cursor = None
    for _ in range(1, question.page):
        cursor = _ask(member, question.path(_PAGE, cursor)).json["next_cursor"]
    return cursor


def _ask(member: Person, path: str) -> Response:
    answer = member.get(path)
    if answer.status != 200:  # noqa: PLR2004
        sys.exit(f"a search was refused: {answer.text}")
    return answer


@contextmanager
def _sent() -> Iterator[list[dict[str, Any]]]:
    """Note what is asked of the engine."""
    client, sent = stores.search_client(), []
    ask = client.search

    def note(**question: Any) -> Any:
        sent.append(question)
        return ask(**question)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "search", note)
        yield sent


def _forget_limits() -> None:
    """Let the member search on: more often than people may, which is what the limits are for."""
    cache = stores.cache_client()
    for key in cache.scan_iter("*message-searches*"):
        cache.delete(key)


def _readable(member: Person) -> list[_Message]:
    """Return what the member may read, told by the tables alone."""
    statement = sa.text("""
        SELECT m.id, m.conversation_id, m.sender_id, m.created_at, JSON_VALUE(m.content, '$.text') text
        FROM members me JOIN messages m ON m.conversation_id = me.conversation_id AND m.seq > me.joined_seq
        LEFT JOIN hidden_messages h
               ON h.user_id = me.user_id AND h.conversation_id = m.conversation_id AND h.seq = m.seq
        WHERE me.user_id = :member AND m.recalled_at IS NULL AND h.seq IS NULL
              AND (me.left_seq IS NULL OR m.seq <= me.left_seq)
    """)
    with owner.engine().connect() as connection:
        rows = connection.execute(statement, {"member": member.id})
        return [
            _Message(row.id, row.conversation_id, row.sender_id, row.created_at.replace(tzinfo=UTC), row.text)
            for row in rows
        ]


def _report_reindex() -> None:
    before = _peak_megabytes()
    began = time.perf_counter()
    read = reindex.handler({"rebuild": True}, LambdaContext())["messages"]
    seconds = time.perf_counter() - began
    after = _peak_megabytes()
    _merged()
    client = stores.search_client()
    size = client.indices.stats(index=_INDEX)["_all"]["primaries"]["store"]["size_in_bytes"] / 1e6
    nodes = client.nodes.stats(metric="jvm")["nodes"].values()
    heap = max(node["jvm"]["mem"]["heap_max_in_bytes"] for node in nodes) / 2**20
    print(
        "| messages | s | messages/s | peak of the process, MB | before it, MB | index, MB | heap of OpenSearch, MiB |"
    )
    print(f"|---|{'---|' * 6}")
    print(
        f"| {read:,} | {seconds:.0f} | {read / seconds:,.0f} | {after:.0f} | {before:.0f} | {size:.0f} | {heap:.0f} |"
    )


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB, of Linux


def _merged() -> None:
    """Wait until the engine has merged what was written, and let it remove what it has merged."""
    while stores.search_client().indices.stats(index=_INDEX)["_all"]["total"]["merges"]["current"]:
        time.sleep(_POLL_SECONDS)
    stores.search_client().indices.flush(index=_INDEX)


def _cache_no_queries() -> None:
    """Let the engine remember no query: each is to cost what it costs somebody who asks it for the first time."""
    indices = stores.search_client().indices
    indices.close(index=_INDEX)
    indices.put_settings(index=_INDEX, body={"index.queries.cache.enabled": False})
    indices.open(index=_INDEX)
    stores.search_client().cluster.health(index=_INDEX, params={"wait_for_status": "yellow"})


def _remove_index() -> None:
    indices = stores.search_client().indices
    indices.delete(index=f"{_INDEX}-v*")
    indices.delete_index_template(name=_INDEX, ignore=404)


def main() -> None:
    """Measure on stores of its own."""
    with opensearch() as url:
        report(url, *map(int, sys.argv[1:]))


if __name__ == "__main__":
    main()
