"""Sync: by one cursor, everything that changed for the caller, and never less."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hongyan import feed, stores
from hongyan.clock import now
from hongyan.tables import blocks, feed_entries, feed_marks, feed_notes, feeds, friendships
from hongyan.timeline import SMALL_GROUP
from hongyan.unit_of_work import UnitOfWork

from functions.message import sending
from functions.message.schemas import NewText, TextContent
from tests.support.groups import a_group, fill
from tests.support.people import Person, a_text

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]

_LISTS = (
    "conversations",
    "messages",
    "hidden",
    "members",
    "receipts",
    "friends",
    "removed_friend_ids",
    "friend_requests",
    "blocks",
    "unblocked_ids",
)


class Device:
    """A device that keeps what sync told it."""

    def __init__(self, owner: Person, cursor: str | None = None) -> None:
        self.owner = owner
        self.cursor = cursor

    def page(self, limit: int = 100) -> dict[str, Any]:
        """Sync one page."""
        path = f"/v1/sync?limit={limit}" + ("" if self.cursor is None else f"&cursor={self.cursor}")
        answer = self.owner.get(path)
        assert answer.status == 200, answer.json
        page: dict[str, Any] = answer.json
        self.cursor = page["next_cursor"]
        return page

    def catch_up(self, limit: int = 100) -> dict[str, Any]:
        """Sync until there is no more, and return all that came, list by list."""
        told: dict[str, Any] = {name: [] for name in _LISTS} | {"sessions": None}
        while True:
            page = self.page(limit)
            for name in _LISTS:
                told[name] += page[name]
            told["sessions"] = page["sessions"] or told["sessions"]
            if not page["has_more"]:
                return told


def ready(owner: Person) -> Device:
    device = Device(owner)
    device.catch_up()
    return device


def nothing(told: dict[str, Any]) -> bool:
    return told["sessions"] is None and not any(told[name] for name in _LISTS)


def the(items: list[Any]) -> Any:
    [one] = items
    return one


@pytest.fixture
def pair(person: People) -> Pair:
    alice, bob = person("alice"), person("bob")
    return alice, bob, alice.befriend(bob)


def test_without_a_cursor_it_is_the_state_as_it_is(pair: Pair, person: People) -> None:
    alice, bob, conversation = pair
    carol, dave = person("carol"), person("dave")
    alice.say(conversation, "hello")
    bob.read(conversation, 1)
    request = carol.ask(alice)
    alice.put(f"/v1/blocks/{dave.id}")

    told = Device(alice).catch_up()

    card = alice.get(f"/v1/conversations/{conversation}").json
    assert the(told["messages"]) == card.pop("last_message")
    assert the(told["conversations"]) == card
    assert the(told["receipts"]) == {"conversation_id": conversation, "user_id": bob.id, "seq": 1}
    assert the(told["friends"]) == the(alice.get("/v1/friends").json["items"])
    assert the(told["friend_requests"])["id"] == request
    assert the(told["blocks"])["user"]["id"] == dave.id
    assert told["sessions"] == alice.get("/v1/sessions").json["items"]


def test_without_a_cursor_one_is_told_how_far_the_others_of_small_groups_have_read(person: People) -> None:
    alice, bob, carol, dave = (person(name) for name in ("alice", "bob", "carol", "dave"))
    small = a_group(alice, bob, carol, dave)
    large = alice.post("/v1/conversations", {"name": "large", "member_ids": [bob.id, carol.id]}).json["id"]
    fill(large, SMALL_GROUP)
    for group in (small, large):
        alice.say(group, "hello")
        bob.read(group, 2)
    dave.delete(f"/v1/conversations/{small}/members/{dave.id}")

    told = Device(alice).catch_up()

    readings = {reading["user_id"]: reading for reading in told["receipts"] if reading["conversation_id"] == small}
    assert readings.keys() == {bob.id, carol.id}
    assert readings[bob.id]["seq"] == 2
    assert large not in {reading["conversation_id"] for reading in told["receipts"]}


def test_without_a_cursor_one_is_told_what_one_has_hidden_behind_the_last_message_shown(pair: Pair) -> None:
    """An event of it that comes late would else show it again."""
    alice, bob, conversation = pair
    for text in ("one", "two", "three", "four"):
        alice.say(conversation, text)
    for seq in (1, 3, 4):
        bob.delete(f"/v1/conversations/{conversation}/messages/{seq}")

    told = Device(bob).catch_up()

    assert [message["seq"] for message in told["messages"]] == [2]
    assert sorted(hidden["seq"] for hidden in told["hidden"]) == [3, 4]


def test_who_has_nothing_is_told_nothing(person: People) -> None:
    alice = person("alice")
    device = Device(alice)

    told = device.catch_up()

    assert {name for name in _LISTS if told[name]} == set()
    assert nothing(device.catch_up())


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_state_comes_whole_in_pages_of_any_size(person: People, limit: int) -> None:
    alice, friends = person("alice"), [person("friend") for _ in range(4)]
    conversations = {alice.befriend(friend) for friend in friends}
    for conversation in conversations:
        alice.say(conversation, "hello")
    requests = {person("stranger").ask(alice) for _ in range(2)}

    told = Device(alice).catch_up(limit)

    assert sorted(card["id"] for card in told["conversations"]) == sorted(conversations)
    assert sorted(message["conversation_id"] for message in told["messages"]) == sorted(conversations)
    assert sorted(friend["user"]["id"] for friend in told["friends"]) == sorted(friend.id for friend in friends)
    assert {request["id"] for request in told["friend_requests"]} == requests


def test_what_changes_while_the_state_is_paged_comes_after_it(person: People) -> None:
    alice, friends = person("alice"), [person("friend") for _ in range(3)]
    conversations = sorted(alice.befriend(friend) for friend in friends)
    device = Device(alice)
    assert device.page(1)["has_more"]

    said = alice.say(conversations[0], "meanwhile").json
    told = device.catch_up(1)

    assert said in told["messages"]


def test_a_new_message_comes_once_with_its_conversation(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(bob)

    said = alice.say(conversation, "hello").json
    told = device.catch_up()

    assert the(told["messages"]) == said
    assert the(told["conversations"])["unread_count"] == 1
    assert nothing(device.catch_up())


def test_two_devices_are_told_the_same_whenever_they_ask(pair: Pair) -> None:
    alice, bob, conversation = pair
    phone, laptop = ready(bob), ready(bob.on_another_device())
    phone.catch_up()

    first = alice.say(conversation, "first").json
    assert phone.catch_up()["messages"] == [first]
    second = alice.say(conversation, "second").json

    assert laptop.catch_up()["messages"] == [first, second]
    assert phone.catch_up()["messages"] == [second]


def test_an_answer_that_was_lost_comes_again(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(bob)
    cursor = device.cursor
    said = alice.say(conversation, "hello").json

    assert device.catch_up()["messages"] == [said]
    assert Device(bob, cursor).catch_up()["messages"] == [said]


def test_a_change_that_commits_later_than_the_cursor_was_taken_is_not_skipped(pair: Pair, person: People) -> None:
    alice, bob, conversation = pair
    other = alice.befriend(person("carol"))
    device = ready(alice)
    said, may_commit = threading.Event(), threading.Event()

    def say_slowly() -> None:
        draft = NewText(client_id="slow", type="text", content=TextContent(text="slow"), mentions=[])
        with stores.engine().begin() as connection:
            sending._send(UnitOfWork(connection), bob.id, conversation, draft)
            said.set()
            assert may_commit.wait(20)

    slow = threading.Thread(target=say_slowly)
    slow.start()
    assert said.wait(20)
    fast = alice.say(other, "fast").json
    before = device.catch_up()
    may_commit.set()
    slow.join()
    after = device.catch_up()

    assert before["messages"] == [fast]
    assert [message["client_id"] for message in after["messages"]] == ["slow"]


def test_a_note_that_commits_later_than_the_cursor_was_taken_is_not_skipped(pair: Pair, person: People) -> None:
    alice, bob, _ = pair
    device = ready(alice)
    # Of what was never noted: beside a deleted note that is not purged yet InnoDB locks the gap that carol's goes into.
    with stores.engine().begin() as slow:
        slow.execute(sa.insert(blocks).values(user_id=alice.id, blocked_id=bob.id, created_at=now()))
        slow.execute(sa.insert(feed_notes).values(user_id=alice.id, kind="block", subject_id=bob.id, seq=0))
        alice.ask(person("carol"))
        before = device.catch_up()
    after = device.catch_up()

    assert len(before["friend_requests"]) == 1
    assert before["blocks"] == []
    assert the(after["blocks"])["user"]["id"] == bob.id


def test_what_changes_again_while_its_first_change_is_placed_is_told(pair: Pair) -> None:
    alice, bob, _ = pair
    device = ready(alice)
    alice.patch(f"/v1/friends/{bob.id}", {"remark": "one"})
    told: list[Any] = []
    with stores.engine().begin() as second:  # it finds the note of the first change
        second.execute(sa.update(friendships).where(friendships.c.user_id == alice.id).values(remark="two"))
        feed.note(second, [alice.id], "friend", bob.id)
        syncing = threading.Thread(target=lambda: told.append(device.catch_up()))
        syncing.start()
        syncing.join(0.5)
    syncing.join()
    told.append(device.catch_up())

    assert [friend["remark"] for page in told for friend in page["friends"]][-1] == "two"


def test_notes_of_who_never_syncs_do_not_pile_up(pair: Pair) -> None:
    alice, bob, conversation = pair
    for n in range(5):
        alice.patch(f"/v1/friends/{bob.id}", {"remark": f"Bob {n}"})
        alice.patch(f"/v1/conversations/{conversation}/settings", {"muted": n % 2 == 0})

    with stores.engine().connect() as connection:
        notes = connection.execute(sa.select(feed_notes.c.kind).where(feed_notes.c.user_id == alice.id)).all()
    assert sorted(row.kind for row in notes) == ["conversation", "friend", "friend_request", "sessions"]


def test_syncing_waits_for_nobody_who_writes(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(alice)
    draft = NewText(client_id="slow", type="text", content=TextContent(text="slow"), mentions=[])
    with stores.engine().begin() as connection:
        sending._send(UnitOfWork(connection), bob.id, conversation, draft)
        assert nothing(device.catch_up())


def test_many_changes_come_in_pages_that_lose_none(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(bob)
    said = [alice.say(conversation, f"message {n}").json for n in range(7)]

    first, second = device.page(3), device.page(3)
    last = device.page(3)

    assert [page["has_more"] for page in (first, second, last)] == [True, True, False]
    assert first["messages"] + second["messages"] + last["messages"] == said


def test_a_page_holds_a_message_once_however_often_it_changed(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "hello")
    device = ready(bob)
    path = f"/v1/conversations/{conversation}/messages/1"

    alice.patch(path, {"content": {"text": "hello!"}})
    bob.put(f"{path}/reactions/%F0%9F%91%8D")
    device.cursor, before = device.cursor, device.cursor
    told = device.catch_up()

    assert before is not None
    message = the(told["messages"])
    assert (message["content"], message["reactions"][0]["count"]) == ({"text": "hello!"}, 1)


def test_recalls_and_hidden_messages_come_through_the_same_cursor(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    alice.say(conversation, "two")
    device = ready(bob)

    alice.post(f"/v1/conversations/{conversation}/messages/1/recall")
    bob.delete(f"/v1/conversations/{conversation}/messages/2")
    told = device.catch_up()

    recalled = the(told["messages"])
    assert (recalled["seq"], recalled["content"]) == (1, {})
    assert recalled["recalled_at"] is not None
    assert told["hidden"] == [{"conversation_id": conversation, "seq": 2}]
    assert the(told["conversations"])["unread_count"] == 0


def test_reading_on_one_device_is_told_to_the_others_and_to_the_other_side(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "hello")
    at_alice, at_bob = ready(alice), ready(bob.on_another_device())
    at_alice.catch_up()

    bob.read(conversation, 1)

    receipt = {"conversation_id": conversation, "user_id": bob.id, "seq": 1}
    assert receipt in at_alice.catch_up()["receipts"]
    assert the(at_bob.catch_up()["conversations"])["unread_count"] == 0


def test_friends_requests_remarks_and_blocks_are_told(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    device = ready(alice)

    request = bob.ask(alice)
    assert the(device.catch_up()["friend_requests"])["status"] == "pending"

    alice.post(f"/v1/friend-requests/{request}/accept")
    told = device.catch_up()
    assert the(told["friend_requests"])["status"] == "accepted"
    assert the(told["friends"])["user"]["id"] == bob.id
    assert the(told["conversations"])["peer"]["id"] == bob.id

    alice.patch(f"/v1/friends/{bob.id}", {"remark": "Bobby"})
    assert the(device.catch_up()["friends"])["remark"] == "Bobby"

    bob.patch("/v1/users/me", {"nickname": "Robert"})
    assert the(device.catch_up()["friends"])["user"]["nickname"] == "Robert"

    alice.put(f"/v1/blocks/{bob.id}")
    assert the(device.catch_up()["blocks"])["user"]["id"] == bob.id
    alice.delete(f"/v1/blocks/{bob.id}")
    assert device.catch_up()["unblocked_ids"] == [bob.id]

    bob.delete(f"/v1/friends/{alice.id}")
    assert device.catch_up()["removed_friend_ids"] == [bob.id]


def test_the_blocked_are_told_nothing_and_ask_nobody(pair: Pair, person: People) -> None:
    alice, bob, _ = pair
    carol = person("carol")
    at_alice, at_bob = ready(alice), ready(bob)

    alice.put(f"/v1/blocks/{bob.id}")
    alice.put(f"/v1/blocks/{carol.id}")
    carol.ask(alice)

    assert nothing(at_bob.catch_up())
    assert at_alice.catch_up()["friend_requests"] == []


def test_what_somebody_asked_while_they_were_blocked_is_told_with_the_end_of_the_block(person: People) -> None:
    alice, bob = person("alice"), person("bob")
    device = ready(alice)
    alice.put(f"/v1/blocks/{bob.id}")
    request = bob.ask(alice)
    assert device.catch_up()["friend_requests"] == []

    alice.delete(f"/v1/blocks/{bob.id}")

    assert the(device.catch_up()["friend_requests"])["id"] == request


def test_settings_and_sessions_are_told_to_the_other_devices(pair: Pair) -> None:
    alice, _, conversation = pair
    device = ready(alice)

    alice.patch(f"/v1/conversations/{conversation}/settings", {"muted": True})
    assert the(device.catch_up()["conversations"])["muted"] is True

    tablet = alice.on_another_device()
    assert len(device.catch_up()["sessions"]) == 2
    tablet.delete("/v1/sessions/current")
    assert [session["current"] for session in device.catch_up()["sessions"]] == [True]


def test_a_group_is_told_from_where_one_joined(person: People) -> None:
    alice, bob, carol, dave = (person(name) for name in ("alice", "bob", "carol", "dave"))
    group = a_group(alice, bob, carol)
    alice.befriend(dave)
    alice.say(group, "before")
    device = ready(dave)

    alice.post(f"/v1/conversations/{group}/members", {"user_ids": [dave.id]})
    bob.say(group, "after")
    told = device.catch_up()

    assert [message["seq"] for message in told["messages"]] == [3, 4]
    assert the(told["conversations"])["unread_count"] == 2
    assert {"conversation_id": group, "user_id": dave.id, "role": "member", "is_present": True} in told["members"]


def test_a_group_is_told_up_to_where_one_left_and_what_becomes_of_that(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    old = alice.say(group, "old").json
    device = ready(bob)

    bob.delete(f"/v1/conversations/{group}/members/{bob.id}")
    alice.say(group, "later")
    told = device.catch_up()
    assert [message["seq"] for message in told["messages"]] == [old["seq"] + 1]
    assert the(told["conversations"])["role"] is None

    alice.say(group, "later still")
    assert nothing(device.catch_up())

    alice.post(f"/v1/conversations/{group}/messages/{old['seq']}/recall")
    assert the(device.catch_up()["messages"])["content"] == {}


def test_who_left_a_group_is_told_what_it_is_called_now_and_nothing_else_of_it(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    bob.delete(f"/v1/conversations/{group}/members/{bob.id}")
    device = ready(bob)
    alice.patch(f"/v1/conversations/{group}", {"announcement": "for members"})
    alice.say(group, "for members")
    assert nothing(device.catch_up())

    alice.patch(f"/v1/conversations/{group}", {"name": "renamed"})

    told = device.catch_up()
    assert the(told["conversations"])["name"] == bob.conversation(group)["name"] == "renamed"
    assert [name for name in _LISTS if told[name]] == ["conversations"]


def test_who_comes_back_to_a_group_is_told_of_the_new_time_only(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    device = ready(bob)
    bob.delete(f"/v1/conversations/{group}/members/{bob.id}")
    away = alice.say(group, "while away").json
    alice.post(f"/v1/conversations/{group}/members", {"user_ids": [bob.id]})

    told = device.catch_up()

    assert [message["seq"] for message in told["messages"]] == [away["seq"] + 1]
    assert the(told["conversations"])["first_seq"] == away["seq"] + 1


def test_who_hides_how_they_came_back_is_still_told_from_where_on_they_read(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    device = ready(bob)
    bob.delete(f"/v1/conversations/{group}/members/{bob.id}")
    alice.post(f"/v1/conversations/{group}/members", {"user_ids": [bob.id]})
    joined = bob.conversation(group)["last_seq"]
    assert bob.delete(f"/v1/conversations/{group}/messages/{joined}").status == 204

    told = device.catch_up()

    assert the(told["conversations"])["first_seq"] == joined


def test_the_members_of_a_small_group_are_told_who_became_what(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    device = ready(carol)

    alice.patch(f"/v1/conversations/{group}/members/{bob.id}", {"role": "admin"})
    told = device.catch_up()
    assert told["members"] == [{"conversation_id": group, "user_id": bob.id, "role": "admin", "is_present": True}]

    alice.delete(f"/v1/conversations/{group}/members/{bob.id}")
    told = device.catch_up()
    assert told["members"] == [{"conversation_id": group, "user_id": bob.id, "role": None, "is_present": False}]


def test_closing_an_account_is_told_to_friends_and_groups(person: People) -> None:
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    group = a_group(alice, bob, carol)
    device = ready(alice)

    assert bob.delete("/v1/users/me").status == 204
    told = device.catch_up()

    assert told["removed_friend_ids"] == [bob.id]
    assert {"conversation_id": group, "user_id": bob.id, "role": None, "is_present": False} in told["members"]


def test_the_new_profile_of_who_is_no_friend_any_more_is_told_with_the_conversation(pair: Pair) -> None:
    alice, bob, _ = pair
    alice.delete(f"/v1/friends/{bob.id}")
    device = ready(alice)

    bob.patch("/v1/users/me", {"nickname": "Robert"})

    assert the(device.catch_up()["conversations"])["peer"]["nickname"] == "Robert"


def test_a_closed_account_is_told_with_the_conversation(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(alice)

    bob.delete("/v1/users/me")

    card = alice.conversation(conversation)
    card.pop("last_message")
    assert device.catch_up()["conversations"] == [card]


@pytest.mark.parametrize("spoilt", ["x", "%00", "YQ", "é"])
def test_a_cursor_that_is_none_is_refused(pair: Pair, spoilt: str) -> None:
    alice, _, _ = pair

    answer = alice.get(f"/v1/sync?cursor={spoilt}")

    assert (answer.status, answer.code) == (400, "invalid_cursor")


def test_a_cursor_of_somebody_else_is_refused(pair: Pair) -> None:
    alice, bob, _ = pair

    answer = alice.get(f"/v1/sync?cursor={ready(bob).cursor}")

    assert (answer.status, answer.code) == (400, "invalid_cursor")


def test_a_cursor_from_before_the_database_was_restored_is_found_out(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(bob)
    alice.say(conversation, "hello")
    kept = _backup(bob)
    device.catch_up()
    alice.say(conversation, "lost")
    device.catch_up()
    _restore(bob, kept)

    refused = bob.get(f"/v1/sync?cursor={device.cursor}")
    assert (refused.status, refused.code) == (410, "sync_cursor_expired")

    # The positions are given again, to other changes: it is still not taken for one of them.
    ready(bob)
    alice.say(conversation, "again")
    ready(bob)
    assert bob.get(f"/v1/sync?cursor={device.cursor}").code == "sync_cursor_expired"
    assert Device(bob).catch_up()["conversations"] != []


def _backup(owner: Person) -> dict[sa.Table, list[dict[str, Any]]]:
    with stores.engine().connect() as connection:
        return {
            table: [
                dict(row) for row in connection.execute(sa.select(table).where(table.c.user_id == owner.id)).mappings()
            ]
            for table in (feeds, feed_entries, feed_marks, feed_notes)
        }


def _restore(owner: Person, kept: dict[sa.Table, list[dict[str, Any]]]) -> None:
    with stores.engine().begin() as connection:
        for table, rows in kept.items():
            connection.execute(sa.delete(table).where(table.c.user_id == owner.id))
            if rows:
                connection.execute(sa.insert(table).values(rows))


def test_devices_that_sync_at_once_are_told_everything_each(pair: Pair) -> None:
    alice, bob, conversation = pair
    devices = [ready(bob) for _ in range(6)]
    said = [alice.say(conversation, f"message {n}").json for n in range(5)]
    told: list[list[Any]] = []

    threads = [threading.Thread(target=lambda d=d: told.append(d.catch_up()["messages"])) for d in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert told == [said] * 6


def test_the_socket_answers_as_rest_does(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(bob)
    socket = bob.connect()
    said = alice.say(conversation, "hello").json

    answer = socket.send(action="sync", id="s-1", cursor=device.cursor)

    assert (answer["type"], answer["id"]) == ("sync", "s-1")
    assert answer["data"] == bob.get(f"/v1/sync?cursor={device.cursor}").json
    assert answer["data"]["messages"] == [said]


def test_on_the_socket_a_page_fits_into_a_frame(pair: Pair) -> None:
    alice, bob, conversation = pair
    device = ready(bob)
    socket = bob.connect()
    for n in range(6):
        alice.post(f"/v1/conversations/{conversation}/messages", a_text("云" * 4_000 + str(n)))

    told, has_more = [], True
    while has_more:
        answer = socket.send(action="sync", cursor=device.cursor)
        page = answer["data"]
        told += [message["seq"] for message in page["messages"]]
        device.cursor, has_more = page["next_cursor"], page["has_more"]

    assert told == [1, 2, 3, 4, 5, 6]
