"""Large groups and people with many friends: told in shards, whatever happens between."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.events import ConversationAudience, event
from hongyan.ids import new_id
from hongyan.tables import members

from functions.message import audiences, queues
from functions.message.audiences import SHARD_SIZE
from functions.message.push import _BODY
from tests.support.deployment import Deployment
from tests.support.gateway import Socket
from tests.support.groups import a_crowd_of_friends, a_group, fill, invite, remove
from tests.support.people import Person
from tests.support.statements import counted

People = Callable[[str], Person]
Crowd = tuple[Person, Person, Person, str]

SIZE = 2 * SHARD_SIZE + 200


@pytest.fixture
def crowd(person: People, deployment: Deployment) -> Crowd:
    """A group of three shards: the owner is in the first, one has joined last and is in the last."""
    owner, early = person("owner"), person("early")
    group = a_group(owner, early, person("other"))
    fill(group, SIZE - 4)
    late = person("late")
    owner.befriend(late)
    assert invite(owner, group, late).status == 200
    deployment.drain()
    return owner, early, late, group


def texts(socket: Socket) -> list[str]:
    return [
        e["data"]["message"]["content"]["text"]
        for e in socket.events
        if e["type"] == "message.created" and e["data"]["message"]["type"] == "text"
    ]


def ranges(records: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    found = []
    for record in records:
        parsed = _BODY.validate_json(record["body"])
        assert isinstance(parsed, list)
        [stretch] = {(e.audience.after_user_id, e.audience.up_to_user_id) for e in parsed}  # type: ignore[union-attr]
        found.append(stretch)
    return sorted(found, key=lambda stretch: stretch[0])


def test_everyone_online_hears_a_message_once_in_whichever_shard_they_are(crowd: Crowd, deployment: Deployment) -> None:
    owner, early, late, group = crowd
    sockets = [owner.connect(), early.connect(), early.on_another_device().connect(), late.connect()]
    deployment.drain()

    owner.say(group, "hello")
    assert deployment.push() == []

    assert [texts(socket) for socket in sockets] == [["hello"]] * 4


def test_all_messages_of_a_batch_share_the_shards(crowd: Crowd, deployment: Deployment) -> None:
    owner, _, late, group = crowd
    at_late = late.connect()
    deployment.drain()
    for n in range(10):
        owner.say(group, f"message {n}")

    deployment.pushing.work()
    shards = deployment.sharding.queued()

    assert len(shards) == 3
    assert texts(at_late) == []  # not told by the function that cut the group up
    posts = deployment.management.posts
    deployment.sharding.invoke(shards)
    assert texts(at_late) == [f"message {n}" for n in range(10)]
    assert deployment.management.posts == posts + 1


def test_shards_follow_each_other_without_gap_from_the_first_id_to_the_last(
    crowd: Crowd, deployment: Deployment
) -> None:
    owner, _, _, group = crowd
    owner.say(group, "hello")
    deployment.pushing.work()

    found = ranges(deployment.sharding.queued())

    assert (found[0][0], found[-1][1]) == ("", None)
    assert [up_to for _, up_to in found[:-1]] == [after for after, _ in found[1:]]
    with stores.engine().connect() as connection:
        for after, up_to in found:
            within = sa.select(sa.func.count()).where(members.c.conversation_id == group, members.c.user_id > after)
            count = connection.scalar(within if up_to is None else within.where(members.c.user_id <= up_to))
            assert count == (200 if up_to is None else SHARD_SIZE)


def test_no_statement_brings_more_people_than_a_shard_holds(crowd: Crowd, deployment: Deployment) -> None:
    owner, _, _, group = crowd
    owner.say(group, "hello")

    with counted() as statements:
        deployment.push()

    assert max(statements.rows) == SHARD_SIZE + 1, statements.rows


def test_a_group_of_just_a_shard_is_told_at_once(person: People, deployment: Deployment) -> None:
    owner, one, other = person("owner"), person("one"), person("other")
    group = a_group(owner, one, other)
    fill(group, SHARD_SIZE - 3)
    at_one = one.connect()
    deployment.drain()
    owner.say(group, "hello")

    deployment.pushing.work()

    assert texts(at_one) == ["hello"]
    assert deployment.sharding.queued() == []


def test_shards_keep_each_members_window(crowd: Crowd, deployment: Deployment, person: People) -> None:
    owner, early, late, group = crowd
    newcomer = person("newcomer")
    owner.befriend(newcomer)
    at_early, at_late, at_newcomer = early.connect(), late.connect(), newcomer.connect()
    deployment.drain()
    owner.say(group, "before")
    before = deployment.queued()
    remove(early, group, early)
    invite(owner, group, newcomer)
    owner.say(group, "after")
    after = deployment.queued()

    deployment.invoke_push(before + after)
    deployment.sharding.work()

    assert texts(at_early) == ["before"]
    assert texts(at_late) == ["before", "after"]
    assert texts(at_newcomer) == ["after"]


def test_who_joins_between_the_cut_and_the_shard_is_not_overlooked(
    crowd: Crowd, deployment: Deployment, person: People
) -> None:
    owner, _, _, group = crowd
    newcomer = person("newcomer")
    owner.befriend(newcomer)
    invite(owner, group, newcomer)
    deployment.drain()
    with stores.engine().begin() as connection:
        connection.execute(sa.delete(members).where(members.c.user_id == newcomer.id))
    owner.say(group, "hello")
    deployment.pushing.work()
    row = {"conversation_id": group, "user_id": newcomer.id, "read_seq": 0, "own_after_read": 0, "muted": False}
    with stores.engine().begin() as connection:
        connection.execute(sa.insert(members).values({**row, "pinned": False, "joined_at": now(), "role": "member"}))
    at_newcomer = newcomer.connect()

    deployment.sharding.work()

    assert texts(at_newcomer) == ["hello"]


def test_a_shard_that_has_outgrown_its_size_is_cut_again(crowd: Crowd, deployment: Deployment) -> None:
    owner, _, late, group = crowd
    at_late = late.connect()
    deployment.drain()
    owner.say(group, "hello")
    deployment.pushing.work()
    fill(group, SHARD_SIZE)  # all of them behind the last: ids rise with time

    with counted() as statements:
        deployment.sharding.work()

    assert max(statements.rows) == SHARD_SIZE + 1
    assert texts(at_late) == ["hello"]


def test_what_cannot_be_cut_up_comes_again(
    crowd: Crowd, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, late, group = crowd
    at_late = late.connect()
    deployment.drain()
    owner.say(group, "hello")
    [sent] = deployment.queued()
    with monkeypatch.context() as patch:
        patch.setattr("functions.message.push.settings", lambda: _Nowhere)
        answer = deployment.invoke_push([sent])

    assert answer == {"batchItemFailures": [{"itemIdentifier": sent["messageId"]}]}
    assert deployment.invoke_push([sent]) == {"batchItemFailures": []}
    deployment.sharding.work()
    assert texts(at_late) == ["hello"]


class _Nowhere:
    message_shard_queue_url = "https://sqs.us-east-1.amazonaws.com/123456789012/nowhere"


def test_a_changed_profile_reaches_thousands_of_friends_in_shards_and_ones_own_devices_once(
    person: People, deployment: Deployment
) -> None:
    early, popular = person("early"), person("popular")
    popular.befriend(early)
    a_crowd_of_friends(popular, SIZE)
    late = person("late")
    popular.befriend(late)
    sockets = [popular.connect(), early.connect(), late.connect()]
    deployment.drain()
    for socket in sockets:
        deployment.management._frames[socket.connection_id].clear()

    popular.patch("/v1/users/me", {"nickname": "known to many"})
    with counted() as statements:
        assert deployment.push() == []

    assert [[e["type"] for e in socket.events] for socket in sockets] == [["user.updated"]] * 3
    assert max(statements.rows) == SHARD_SIZE + 1


def test_a_queue_gets_at_most_what_it_takes_at_once(deployment: Deployment) -> None:
    audience = ConversationAudience(conversation_id=new_id())
    parcel = [event("message.read", audience, filler="雁" * 10_000) for _ in range(20)]
    url = deployment.sharding.queue_url

    assert queues.put(url, [parcel, parcel[:1]]) == set()

    records = deployment.sharding.queued()
    told = [e.event_id for record in records for e in _events(record)]
    assert sorted(told) == sorted(e.event_id for e in [*parcel, parcel[0]])
    assert all(len(record["body"].encode()) <= 256 * 1024 for record in records)
    assert len(records) == 4


def _events(record: dict[str, Any]) -> list[Any]:
    parsed = _BODY.validate_json(record["body"])
    assert isinstance(parsed, list)
    return parsed


def test_a_crowd_is_cut_by_steps_that_each_read_one_part(crowd: Crowd) -> None:
    _, _, _, group = crowd
    e = event("message.read", ConversationAudience(conversation_id=group), seq=1)

    with counted() as statements:
        parts = list(audiences.shards([e, e]))

    assert len(parts) == 3
    assert all(len(part) == 2 for part in parts)
    assert statements.rows == [1, 1, 0]
