"""A request that is made again under the same `Idempotency-Key` takes effect once."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hongyan import idempotency, stores
from hongyan.clock import now
from hongyan.tables import idempotency_keys

from tests.support.gateway import Response
from tests.support.groups import remove
from tests.support.people import Person

People = Callable[[str], Person]

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


class Friends(NamedTuple):
    """Somebody with two friends."""

    alice: Person
    bob: Person
    carol: Person

    def body(self, name: str = "team") -> dict[str, Any]:
        return {"name": name, "member_ids": [self.bob.id, self.carol.id]}

    def make(self, name: str = "team", key: str = KEY) -> Response:
        return self.alice.post("/v1/conversations", self.body(name), headers={"Idempotency-Key": key})

    def groups(self) -> list[str]:
        listed = self.alice.get("/v1/conversations?limit=100").json["items"]
        return [card["id"] for card in listed if card["kind"] == "group"]


@pytest.fixture
def friends(person: People) -> Friends:
    made = Friends(person("alice"), person("bob"), person("carol"))
    for other in made[1:]:
        made.alice.befriend(other)
    return made


def upload(someone: Person, data: bytes, key: str = KEY) -> Response:
    digest = hashlib.sha256(data).hexdigest()
    body = {"name": "a.txt", "mime": "text/plain", "size": len(data), "sha256": digest, "purpose": "file"}
    return someone.post("/v1/files", body, headers={"Idempotency-Key": key})


def test_the_same_group_made_again_is_the_one_that_is_there(friends: Friends) -> None:
    first, second = friends.make(), friends.make()

    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json
    assert friends.groups() == [first.json["id"]]


def test_another_key_makes_another_group_and_none_does_each_time(friends: Friends) -> None:
    for _ in range(2):
        assert friends.alice.post("/v1/conversations", friends.body()).status == 201
    assert friends.make(key="one").json["id"] != friends.make(key="One").json["id"]

    assert len(friends.groups()) == 4


def test_another_request_under_the_key_is_refused(friends: Friends) -> None:
    friends.make("team")

    answer = friends.make("other team")

    assert (answer.status, answer.code) == (409, "idempotency_key_conflict")
    assert len(friends.groups()) == 1


@pytest.mark.usefixtures("bucket")
def test_a_key_that_made_a_group_begins_no_upload(friends: Friends) -> None:
    friends.make()

    answer = upload(friends.alice, b"x")

    assert (answer.status, answer.code) == (409, "idempotency_key_conflict")


def test_a_key_is_its_owners_own(friends: Friends) -> None:
    of_alice = friends.make().json["id"]
    friends.bob.befriend(friends.carol)

    body = {"name": "team", "member_ids": [friends.alice.id, friends.carol.id]}
    of_bob = friends.bob.post("/v1/conversations", body, headers={"Idempotency-Key": KEY})

    assert of_bob.status == 201
    assert of_bob.json["id"] != of_alice


def test_what_was_refused_uses_no_key_up(friends: Friends, person: People) -> None:
    stranger = person("dave")
    body = {"name": "team", "member_ids": [friends.bob.id, stranger.id]}
    refused = friends.alice.post("/v1/conversations", body, headers={"Idempotency-Key": KEY})
    assert refused.status == 422

    friends.alice.befriend(stranger)

    assert friends.alice.post("/v1/conversations", body, headers={"Idempotency-Key": KEY}).status == 201


def test_the_same_request_many_times_at_once_makes_one_group(friends: Friends) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: friends.make(), range(8)))

    assert {answer.status for answer in answers} == {201}
    assert {answer.json["id"] for answer in answers} == set(friends.groups())
    assert len(friends.groups()) == 1


def test_who_has_left_the_group_since_is_shown_it_as_it_is_to_them(friends: Friends) -> None:
    group = friends.make().json["id"]
    owner = {"user_id": friends.bob.id}
    assert friends.alice.put(f"/v1/conversations/{group}/owner", owner).status < 300
    assert remove(friends.alice, group, friends.alice).status == 204

    again = friends.make()

    assert again.json == friends.alice.get(f"/v1/conversations/{group}").json


@pytest.mark.parametrize("key", ["", " ", "a b", "schlüssel", "鸿雁", "k" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(friends: Friends, key: str) -> None:
    answer = friends.make(key=key)

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"][0]["loc"] == ["header", "Idempotency-Key"]
    assert friends.groups() == []


def test_the_longest_key_is_taken(friends: Friends) -> None:
    assert friends.make(key="k" * 255).status == 201


def test_keys_are_forgotten_after_a_day_as_others_come(friends: Friends) -> None:
    friends.make(key="old")
    with stores.engine().begin() as connection:
        before = now() - idempotency.KEPT_FOR - timedelta(seconds=1)
        connection.execute(sa.update(idempotency_keys).values(created_at=before))

    friends.make(key="new")

    with stores.engine().connect() as connection:
        assert list(connection.scalars(sa.select(idempotency_keys.c.client_key))) == ["new"]


@pytest.mark.usefixtures("bucket")
def test_an_upload_begun_again_is_gone_on_with(person: People) -> None:
    alice = person("alice")

    first, second = upload(alice, b"hello"), upload(alice, b"hello")

    assert (first.status, second.status) == (201, 201)
    assert second.json["file_id"] == first.json["file_id"]
    assert upload(alice, b"another").code == "idempotency_key_conflict"
