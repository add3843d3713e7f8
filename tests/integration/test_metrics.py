"""What the functions print for CloudWatch to make metrics of: once for what happened once, however it happened."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hongyan import outbox, stores
from hongyan.clock import now, rfc3339
from hongyan.events import ConversationAudience, event
from hongyan.ids import new_id
from hongyan.metrics import Metric
from hongyan.settings import settings
from hongyan.tables import outbox as outbox_table
from opensearchpy import OpenSearch

from functions.ws_connect import sweep as connection_sweep
from tests.contract.emf import Line, lines_in
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, request
from tests.support.groups import a_group
from tests.support.people import Person, a_text
from tests.support.phones import Phone
from tests.support.template import load
from tests.support.uploads import begun

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]

_PNG = {"content-type": "image/png"}


class Printed:
    """The metric lines that were printed since the last time somebody asked."""

    def __init__(self, output: pytest.CaptureFixture[str]) -> None:
        self._output = output

    def lines(self) -> list[Line]:
        return lines_in(self._output.readouterr().out)

    def forget(self) -> None:
        self._output.readouterr()

    def values(self, metric: Metric) -> list[float]:
        return [value for line in self.lines() for value in line.values.get(metric, [])]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    return Printed(capsys)


@pytest.fixture
def pair(person: People, deployment: Deployment) -> Pair:
    alice, bob = person("alice"), person("bob")
    conversation = alice.befriend(bob)
    deployment.drain()
    return alice, bob, conversation


@pytest.fixture
def engine_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Point the stores at a port where nobody listens; the returned function points them back."""
    nowhere = OpenSearch(["http://127.0.0.1:1"], timeout=2, max_retries=0)
    monkeypatch.setattr(stores, "search_client", lambda: nowhere)
    return monkeypatch.undo


def sweep(context: LambdaContext | None = None) -> None:
    load("functions.message.sweep.handler")({}, context or LambdaContext())


def left_behind(by: timedelta) -> None:
    """Let an event have waited in the outbox for so long."""
    waiting = event("message.read", ConversationAudience(conversation_id="c"), seq=1)
    with stores.engine().begin() as connection:
        outbox.write(connection, [waiting.model_copy(update={"at": now() - by})])


# ---------------------------------------------------------------- accepted


def test_a_message_is_counted_as_accepted_with_the_name_of_its_stack(pair: Pair, printed: Printed) -> None:
    alice, _, conversation = pair
    printed.forget()

    alice.say(conversation, "hello")

    [line] = printed.lines()
    assert (line.namespace, line.dimensions) == ("Hongyan", {"stack": settings().stack_name})
    assert line.values == {"MessagesAccepted": [1.0]}


def test_a_message_that_is_sent_again_is_not_counted_again(pair: Pair, printed: Printed) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "hello", "c-1")
    printed.forget()

    assert alice.say(conversation, "hello", "c-1").status == 200

    assert printed.values(Metric.MESSAGES_ACCEPTED) == []


def test_a_message_over_the_socket_is_counted_too(pair: Pair, printed: Printed) -> None:
    alice, _, conversation = pair
    socket = alice.connect()
    printed.forget()

    socket.send(action="send", conversation_id=conversation, message=a_text("hello"))

    assert printed.values(Metric.MESSAGES_ACCEPTED) == [1.0]


def test_a_message_that_is_refused_is_not_counted(pair: Pair, person: People, printed: Printed) -> None:
    _, _, conversation = pair
    eve = person("eve")
    printed.forget()

    assert eve.say(conversation, "let me in").status == 404

    assert printed.lines() == []


def test_what_is_forwarded_counts_once_for_each_conversation(pair: Pair, person: People, printed: Printed) -> None:
    alice, _, conversation = pair
    others = [alice.befriend(person("carol")), a_group(alice, person("dave"), person("erin"))]
    alice.say(conversation, "hello")
    wanted = {"client_id": "c-1", "conversation_ids": others}
    printed.forget()

    alice.post(f"/v1/conversations/{conversation}/messages/1/forward", wanted)
    alice.post(f"/v1/conversations/{conversation}/messages/1/forward", wanted)

    assert printed.values(Metric.MESSAGES_ACCEPTED) == [2.0]


# ---------------------------------------------------------------- delivered


def test_a_batch_is_one_line_with_what_sockets_took(pair: Pair, deployment: Deployment, printed: Printed) -> None:
    alice, bob, conversation = pair
    for each in (alice, bob, bob):
        each.connect()
    deployment.drain()
    for n in range(10):
        alice.say(conversation, f"message {n}")
    printed.forget()

    deployment.push()

    [line] = printed.lines()
    assert (line.values["MessagesDelivered"], line.values["PostsTaken"]) == ([30.0], [3.0])
    assert len(line.values["PushLatency"]) == 10


def test_an_event_that_comes_twice_in_a_batch_is_delivered_once(
    pair: Pair, deployment: Deployment, printed: Printed
) -> None:
    alice, bob, conversation = pair
    bob.connect()
    deployment.drain()
    alice.say(conversation, "hello")
    [sent] = deployment.queued()
    printed.forget()

    deployment.invoke_push([sent, {**sent, "messageId": "again"}])

    [line] = printed.lines()
    assert (line.values["MessagesDelivered"], len(line.values["PushLatency"])) == ([1.0], 1)


def test_latency_runs_from_the_message_to_the_answer_of_the_socket(
    pair: Pair, deployment: Deployment, printed: Printed
) -> None:
    alice, bob, conversation = pair
    bob.connect()
    deployment.drain()
    alice.say(conversation, "hello")
    [sent] = deployment.queued()
    a_minute_ago = rfc3339(now() - timedelta(minutes=1))
    printed.forget()

    began = time.monotonic()
    deployment.invoke_push([{**sent, "body": json.dumps({**json.loads(sent["body"]), "at": a_minute_ago})}])

    [latency] = printed.values(Metric.PUSH_LATENCY)
    assert 60_000 < latency <= 60_000 + (time.monotonic() - began) * 1_000 + 1  # times have whole milliseconds


def test_a_message_that_nobody_is_online_for_has_no_latency(
    pair: Pair, deployment: Deployment, printed: Printed
) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "hello")
    printed.forget()

    deployment.push()

    assert printed.lines() == []


def test_a_stale_connection_is_counted_and_its_message_is_not_delivered(
    pair: Pair, deployment: Deployment, printed: Printed
) -> None:
    alice, bob, conversation = pair
    gone = bob.connect()
    deployment.drain()
    gone.die()
    alice.say(conversation, "hello")
    printed.forget()

    deployment.push()

    lines = printed.lines()
    assert [line.values["StaleConnections"] for line in lines] == [[1.0]]
    assert not any("MessagesDelivered" in line.values for line in lines)


def test_a_socket_that_refuses_is_counted_as_put_off_and_delivered_by_the_retry(
    pair: Pair, deployment: Deployment, printed: Printed
) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    deployment.drain()
    deployment.management.fail(at_bob.connection_id)
    alice.say(conversation, "hello")
    printed.forget()

    deployment.push()
    [pushed] = printed.lines()
    deployment.management.fail(at_bob.connection_id, failing=False)
    deployment.retry()
    [retried] = printed.lines()

    assert pushed.values == {"PostsPutOff": [1.0]}
    assert retried.values == {"MessagesDelivered": [1.0], "PostsTaken": [1.0]}


def test_a_connection_that_died_without_a_word_is_counted_by_the_sweep(
    person: People, deployment: Deployment, printed: Printed
) -> None:
    alice = person("alice")
    alive, gone = alice.connect(), alice.connect()
    gone.die()
    client = stores.cache_client()
    for entry in client.zrange("hongyan:heard", 0, -1):
        client.zincrby("hongyan:heard", -60, str(entry))
    printed.forget()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_sweep, "MINUTE_SECONDS", 0)
        load("functions.ws_connect.sweep.handler")({}, LambdaContext())

    [line] = printed.lines()
    assert line.values == {"OpenConnections": [2.0], "StaleConnections": [1.0]}
    assert deployment.management.is_open(alive.connection_id)


def test_a_frame_that_fails_by_our_fault_is_counted_and_one_by_the_clients_is_not(
    pair: Pair, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, conversation = pair
    socket = alice.connect()
    printed.forget()

    assert socket.send(action="send", conversation_id=new_id(), message=a_text("hello"))["type"] == "error"
    assert printed.lines() == []
    monkeypatch.setattr("functions.message.sending.take_turn", lambda *_: 1 / 0)
    assert socket.send(action="send", conversation_id=conversation, message=a_text("hello"))["type"] == "error"

    assert printed.values(Metric.FRAMES_FAILED) == [1.0]


# ---------------------------------------------------------------- the outbox


def test_an_empty_outbox_has_no_age(deployment: Deployment, printed: Printed) -> None:
    sweep()

    [line] = printed.lines()
    assert line.values == {"OutboxAge": [0.0]}


def test_the_outbox_is_as_old_as_its_oldest_event(deployment: Deployment, printed: Printed) -> None:
    for minutes in (1, 3, 2):
        left_behind(timedelta(minutes=minutes))
    printed.forget()

    sweep()

    [line] = printed.lines()
    [age] = line.values["OutboxAge"]
    assert timedelta(minutes=3) <= timedelta(milliseconds=age) < timedelta(minutes=4)
    assert line.values["EventsLeftBehind"] == [3.0]


def test_the_age_is_known_also_while_the_topic_refuses(
    deployment: Deployment, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(timedelta(minutes=3))
    monkeypatch.setattr(outbox, "_publish", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        sweep()

    [age] = printed.values(Metric.OUTBOX_AGE)
    assert age >= 180_000
    with stores.engine().connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(outbox_table)) == 1


# ---------------------------------------------------------------- search


@pytest.fixture
def indices(deployment: Deployment, printed: Printed) -> None:
    for name in ("user", "message"):
        load(f"functions.{name}.reindex.handler")({"rebuild": True}, LambdaContext())
    printed.forget()


@pytest.mark.usefixtures("indices")
def test_each_message_and_person_that_is_indexed_has_its_lag(
    pair: Pair, deployment: Deployment, printed: Printed
) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "one")
    alice.say(conversation, "two")
    alice.patch("/v1/users/me", {"nickname": "爱丽丝"})
    printed.forget()

    assert deployment.message_indexing.work() == []
    [of_messages] = printed.lines()
    assert deployment.index() == []
    [of_people] = printed.lines()

    assert len(of_messages.values["MessageIndexLag"]) == 2
    assert len(of_people.values["PersonIndexLag"]) == 1
    lags = [*of_messages.values["MessageIndexLag"], *of_people.values["PersonIndexLag"]]
    assert all(0 < lag < 60_000 for lag in lags)


@pytest.mark.usefixtures("indices")
def test_what_the_engine_did_not_take_has_no_lag_until_it_does(
    pair: Pair, deployment: Deployment, printed: Printed, engine_away: Callable[[], None]
) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "hello")
    records = deployment.message_indexing.queued()
    printed.forget()

    assert deployment.message_indexing.invoke(records)["batchItemFailures"]
    assert printed.lines() == []
    engine_away()
    deployment.message_indexing.invoke(records)

    assert len(printed.values(Metric.MESSAGE_INDEX_LAG)) == 1


@pytest.mark.usefixtures("indices")
@pytest.mark.parametrize(
    ("path", "metric"),
    [("/v1/messages/search?q=", Metric.MESSAGE_SEARCH_TIME), ("/v1/users/search?q=", Metric.PERSON_SEARCH_TIME)],
)
def test_a_search_is_timed(pair: Pair, printed: Printed, path: str, metric: Metric) -> None:
    alice, _, _ = pair
    printed.forget()

    began = time.monotonic()
    assert alice.get(path + quote("鸿雁")).status == 200

    [taken] = printed.values(metric)
    assert 0 < taken < (time.monotonic() - began) * 1_000


@pytest.mark.usefixtures("engine_away")
@pytest.mark.parametrize("path", ["/v1/messages/search?q=wild+geese", "/v1/users/search?q=wild+geese"])
def test_a_search_that_fails_is_counted_and_not_timed(pair: Pair, printed: Printed, path: str) -> None:
    alice, _, _ = pair
    printed.forget()

    assert alice.get(path).status == 503

    [line] = printed.lines()
    assert line.values == {"SearchesFailed": [1.0]}


def test_an_index_that_is_being_made_is_seen_page_by_page(
    pair: Pair, person: People, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.user.reindex.PAGE", 2)
    person("carol")
    printed.forget()

    load("functions.user.reindex.handler")({"rebuild": True}, LambdaContext())

    assert [line.values for line in printed.lines()] == [{"DocumentsReindexed": [2.0]}, {"DocumentsReindexed": [1.0]}]


# ---------------------------------------------------------------- codes and files


def test_a_code_is_counted_as_sent_and_one_too_soon_after_it_as_refused(
    phone: Callable[[], Phone], printed: Printed
) -> None:
    mine = phone()

    assert [mine.ask("register").status, mine.ask("register").status] == [202, 429]

    assert [line.values for line in printed.lines()] == [{"CodesSent": [1.0]}, {"CodesRefused": [1.0]}]


@pytest.mark.parametrize("fault", ["balance", "server_error"])
def test_a_code_that_the_vendor_does_not_send_is_counted_as_failed(
    phone: Callable[[], Phone], vendor_fault: Callable[[str], None], printed: Printed, fault: str
) -> None:
    vendor_fault(fault)

    assert phone().ask("register").status == 503

    [line] = printed.lines()
    assert line.values == {"CodesFailed": [1.0]}


def test_a_code_that_is_not_sent_for_want_of_redis_is_counted_as_failed(
    phone: Callable[[], Phone], without_redis: Callable[[], AbstractContextManager[None]], printed: Printed
) -> None:
    with without_redis():
        assert phone().ask("register").status == 503

    [line] = printed.lines()
    assert line.values == {"CodesFailed": [1.0]}


@pytest.mark.usefixtures("bucket")
def test_an_upload_that_is_not_what_it_was_declared_as_is_counted_as_refused(person: People, printed: Printed) -> None:
    alice = person("alice")
    file_id = begun(alice, b"hello", purpose="image", mime="image/png").json["file_id"]
    printed.forget()

    answer = request("PUT", f"/v1/files/{file_id}/content", token=alice.token, raw=b"hello", headers=_PNG)

    assert answer.code == "file_type_wrong"
    assert printed.values(Metric.UPLOADS_REFUSED) == [1.0]


@pytest.mark.usefixtures("bucket")
def test_an_archive_that_cannot_be_made_is_counted(person: People, deployment: Deployment, printed: Printed) -> None:
    alice = person("alice")
    alice.post("/v1/exports")
    alice.delete("/v1/users/me")
    printed.forget()

    load("functions.message.export.handler")({}, LambdaContext(remaining_ms=900_000))

    assert printed.values(Metric.ARCHIVES_FAILED) == [1.0]
