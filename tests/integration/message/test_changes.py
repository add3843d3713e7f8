"""What becomes of a message after it was sent: edited, recalled, hidden, reacted to, forwarded, read."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.settings import settings
from hongyan.tables import conversations, messages, metadata, outbox

from tests.support.deployment import Deployment
from tests.support.gateway import Response
from tests.support.groups import a_group, fill
from tests.support.people import Person, a_text

People = Callable[[str], Person]
Pair = tuple[Person, Person, str]


@pytest.fixture
def pair(person: People) -> Pair:
    alice, bob = person("alice"), person("bob")
    return alice, bob, alice.befriend(bob)


@pytest.fixture
def group(person: People) -> tuple[Person, Person, Person, str]:
    """Alice owns a group with Bob and Carol."""
    alice, bob, carol = (person(name) for name in ("alice", "bob", "carol"))
    return alice, bob, carol, a_group(alice, bob, carol)


Group = tuple[Person, Person, Person, str]


def at(conversation: str, seq: int = 1) -> str:
    return f"/v1/conversations/{conversation}/messages/{seq}"


def edit(editor: Person, conversation: str, text: str, seq: int = 1, **more: Any) -> Response:
    return editor.patch(at(conversation, seq), {"content": {"text": text}, **more})


def recall(who: Person, conversation: str, seq: int = 1) -> Response:
    return who.post(f"{at(conversation, seq)}/recall")


def react(who: Person, conversation: str, emoji: str = "👍", seq: int = 1) -> Response:
    return who.put(f"{at(conversation, seq)}/reactions/{quote(emoji)}")


def forward(who: Person, conversation: str, *targets: str, seq: int = 1, client_id: str = "f-1") -> Response:
    return who.post(f"{at(conversation, seq)}/forward", {"client_id": client_id, "conversation_ids": list(targets)})


def card(who: Person, conversation: str) -> dict[str, Any]:
    seen: dict[str, Any] = who.get(f"/v1/conversations/{conversation}").json
    return seen


def was_sent_earlier(by: timedelta) -> None:
    """Let all messages have been sent earlier."""
    with stores.engine().begin() as connection:
        connection.execute(sa.update(messages).values(created_at=now() - by))


# ---------------------------------------------------------------- editing


def test_an_edited_text_is_the_new_one_for_everybody(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "helo")
    deployment.drain()
    at_bob = bob.connect()

    edited = edit(alice, conversation, "hello").json
    deployment.push()

    assert edited["content"] == {"text": "hello"}
    assert edited["edited_at"] is not None
    assert bob.history(conversation) == [edited]
    assert card(bob, conversation)["last_message"] == edited
    [event] = at_bob.events
    assert (event["type"], event["data"]) == ("message.updated", {"message": edited})


def test_an_edit_counts_nothing_unread_and_moves_no_conversation(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "helo")
    bob.read(conversation, 1)
    before = card(bob, conversation)

    edit(alice, conversation, "hello")

    after = card(bob, conversation)
    assert after["unread_count"] == 0
    assert after["last_activity_at"] == before["last_activity_at"]


def test_the_same_edit_again_changes_nothing(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "helo")
    first = edit(alice, conversation, "hello").json
    deployment.drain()

    assert edit(alice, conversation, "hello").json == first
    assert deployment.queued() == []


def test_a_repeated_send_shows_the_edited_message(pair: Pair) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "helo", "c-1")
    edited = edit(alice, conversation, "hello").json

    again = alice.say(conversation, "helo", "c-1")

    assert (again.status, again.json) == (200, edited)


def test_a_text_can_be_edited_for_fifteen_minutes(pair: Pair) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "helo")

    was_sent_earlier(timedelta(minutes=14, seconds=50))
    assert edit(alice, conversation, "hello").status == 200
    was_sent_earlier(timedelta(minutes=15, seconds=1))
    late = edit(alice, conversation, "hello!")

    assert (late.status, late.code) == (409, "edit_window_over")


def test_mentions_can_be_edited_with_the_text(group: Group) -> None:
    alice, bob, carol, conversation = group
    seq = bob.say(conversation, "@alice").json["seq"]

    assert edit(bob, conversation, "@carol", seq, mentions=[carol.id]).json["mentions"] == [carol.id]
    assert edit(bob, conversation, "@all", seq, mentions=["all"]).code == "not_permitted"
    assert edit(bob, conversation, "@x", seq, mentions=["01ARZ3NDEKTSV4RRFFQ69G5FAV"]).code == "validation_failed"
    assert edit(bob, conversation, "@nobody now", seq).json["mentions"] == [carol.id]
    assert alice.history(conversation)[-1]["mentions"] == [carol.id]


def test_only_ones_own_present_text_can_be_edited(pair: Pair, group: Group) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "hello")
    owner, _, _, group_id = group

    assert edit(bob, conversation, "other").code == "not_permitted"
    assert edit(owner, group_id, "other").code == "message_not_editable"  # the server's own message
    assert edit(alice, conversation, "other", seq=2).code == "message_not_found"
    recall(alice, conversation)
    assert edit(alice, conversation, "other").code == "message_recalled"


def test_after_the_friendship_nothing_is_edited(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "hello")
    bob.delete(f"/v1/friends/{alice.id}")

    assert edit(alice, conversation, "other").code == "not_friends"


@pytest.mark.parametrize("text", ["", " ", "\x00", "x" * 5_001, None, 1])
def test_an_edit_must_be_a_text(pair: Pair, text: Any) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "hello")

    assert edit(alice, conversation, text).code == "validation_failed"
    assert alice.history(conversation)[0]["content"] == {"text": "hello"}


@pytest.mark.parametrize("seq", ["0", "-1", str(2**63), "x", "1.5"])
def test_a_seq_that_none_could_have_is_refused(pair: Pair, seq: str) -> None:
    alice, _, conversation = pair

    answer = alice.patch(f"/v1/conversations/{conversation}/messages/{seq}", {"content": {"text": "x"}})

    assert answer.code == "validation_failed"


# ---------------------------------------------------------------- recalling


def test_what_was_recalled_is_gone_for_all(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.post(f"/v1/conversations/{conversation}/messages", {**a_text("secret"), "mentions": [bob.id]})
    react(bob, conversation)
    deployment.drain()
    at_bob = bob.connect()

    recalled = recall(alice, conversation).json
    deployment.push()

    assert (recalled["content"], recalled["mentions"], recalled["reactions"]) == ({}, [], [])
    assert recalled["recalled_at"] is not None
    assert bob.history(conversation) == [recalled]
    assert card(bob, conversation)["last_message"] == recalled
    [event] = at_bob.events
    assert event["data"] == {"message": recalled}


def test_what_was_recalled_is_nowhere_in_the_database(pair: Pair) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "Geheimnis-4711")

    recall(alice, conversation)

    with stores.engine().connect() as connection:
        for table in metadata.sorted_tables:
            assert "Geheimnis-4711" not in str(connection.execute(sa.select(table)).all()), table.name


def test_what_is_queued_never_holds_what_was_said(
    pair: Pair, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, conversation = pair
    at_bob = bob.connect()
    deployment.drain()
    alice.say(conversation, "Geheimnis-4711")
    [created] = deployment.queued()
    assert "Geheimnis" not in created["body"]

    recall(alice, conversation)
    deployment.invoke_push([created])

    [event] = at_bob.events
    assert event["type"] == "message.created"
    assert event["data"]["message"]["content"] == {}


def test_what_waits_in_the_outbox_never_holds_what_was_said(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "Geheimnis-4711")
    with monkeypatch.context() as patch:
        patch.setenv("EVENTS_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:nowhere")
        settings.cache_clear()
        alice.patch(f"/v1/conversations/{conversation}/settings", {"muted": True})  # its event shows the last message
        alice.say(conversation, "Geheimnis-4712")
    settings.cache_clear()

    with stores.engine().connect() as connection:
        bodies = connection.scalars(sa.select(outbox.c.body)).all()
    assert len(bodies) == 2
    assert not any("Geheimnis" in body for body in bodies)
    assert bob.history(conversation)[-1]["content"] == {"text": "Geheimnis-4712"}


def test_ones_own_can_be_recalled_for_two_minutes(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    was_sent_earlier(timedelta(minutes=2, seconds=1))
    alice.say(conversation, "two")

    assert recall(bob, conversation, 2).code == "not_permitted"
    assert recall(alice, conversation, 2).status == 200
    late = recall(alice, conversation, 1)
    assert (late.status, late.code) == (409, "recall_window_over")


def test_a_recall_again_changes_nothing_however_late(pair: Pair, deployment: Deployment) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "one")
    first = recall(alice, conversation).json
    deployment.drain()
    was_sent_earlier(timedelta(hours=1))

    assert recall(alice, conversation).json["recalled_at"] == first["recalled_at"]
    assert deployment.queued() == []


def test_owner_and_admins_of_a_group_recall_anything_any_time(group: Group) -> None:
    alice, bob, carol, conversation = group
    alice.patch(f"/v1/conversations/{conversation}/members/{bob.id}", {"role": "admin"})
    by_carol, by_alice = (who.say(conversation, "x").json["seq"] for who in (carol, alice))
    was_sent_earlier(timedelta(days=9))

    assert recall(carol, conversation, by_carol).code == "recall_window_over"
    assert recall(carol, conversation, by_alice).code == "not_permitted"
    assert recall(bob, conversation, by_carol).status == 200
    assert recall(bob, conversation, by_alice).status == 200
    assert recall(alice, conversation, 1).code == "message_not_editable"  # the server's own message


def test_a_recalled_message_is_not_unread(pair: Pair) -> None:
    alice, bob, conversation = pair
    for text in ("one", "two", "three"):
        alice.say(conversation, text)
    bob.read(conversation, 1)

    recall(alice, conversation, 1)
    assert card(bob, conversation)["unread_count"] == 2
    recall(alice, conversation, 3)
    assert card(bob, conversation)["unread_count"] == 1
    assert card(alice, conversation)["unread_count"] == 0


def test_sending_again_what_was_recalled_answers_the_recalled_message(pair: Pair) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "one", "c-1")
    recalled = recall(alice, conversation).json

    again = alice.say(conversation, "one", "c-1")

    assert (again.status, again.json) == (200, recalled)


def test_whoever_recalls_and_edits_at_once_leaves_no_text(pair: Pair) -> None:
    alice, bob, conversation = pair
    for _ in range(5):
        seq = alice.say(conversation, "secret").json["seq"]
        threads = [
            threading.Thread(target=edit, args=(alice, conversation, "secret again", seq)),
            threading.Thread(target=recall, args=(alice, conversation, seq)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert bob.history(conversation)[-1]["content"] == {}


# ---------------------------------------------------------------- hiding


def test_a_hidden_message_says_nothing_to_who_hid_it_and_all_to_others(pair: Pair) -> None:
    alice, bob, conversation = pair
    said = alice.say(conversation, "one").json
    alice.say(conversation, "two")

    assert bob.delete(at(conversation, 1)).status == 204
    assert bob.delete(at(conversation, 1)).status == 204

    hidden = bob.history(conversation)[0]
    assert (hidden["seq"], hidden["hidden"], hidden["content"]) == (1, True, {})
    assert alice.history(conversation)[0] == said
    assert bob.on_another_device().history(conversation)[0]["hidden"] is True


def test_hiding_is_told_to_ones_own_devices_alone(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    deployment.drain()
    at_alice, at_bob = alice.connect(), bob.on_another_device().connect()

    bob.delete(at(conversation, 1))
    bob.delete(at(conversation, 1))
    deployment.push()

    hidden = ("message.hidden", {"conversation_id": conversation, "seq": 1})
    assert [(event["type"], event["data"]) for event in at_bob.events] == [hidden]
    assert at_alice.events == []


def test_a_hidden_last_message_is_not_the_last_to_who_hid_it(pair: Pair) -> None:
    alice, bob, conversation = pair
    one = alice.say(conversation, "one").json
    two = alice.say(conversation, "two").json

    bob.delete(at(conversation, 2))
    assert card(bob, conversation)["last_message"] == one
    assert bob.get("/v1/conversations").json["items"][0]["last_message"] == one
    assert card(alice, conversation)["last_message"] == two

    bob.delete(at(conversation, 1))
    assert card(bob, conversation)["last_message"] is None


def test_hidden_recalled_and_own_messages_are_each_not_unread_once(pair: Pair) -> None:
    alice, bob, conversation = pair
    for text in ("one", "two", "three"):
        alice.say(conversation, text)
    bob.say(conversation, "four")

    bob.delete(at(conversation, 1))
    recall(alice, conversation, 1)  # hidden and recalled
    recall(bob, conversation, 4)  # own and recalled
    bob.delete(at(conversation, 4))  # and hidden too

    assert card(bob, conversation)["unread_count"] == 2
    bob.read(conversation, 4)
    assert card(bob, conversation)["unread_count"] == 0


def test_nothing_can_be_done_with_what_one_has_hidden(pair: Pair) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "one")
    alice.delete(at(conversation, 1))

    assert react(alice, conversation).code == "message_not_found"
    assert edit(alice, conversation, "x").code == "message_not_found"
    assert forward(alice, conversation, conversation).code == "message_not_found"


def test_what_one_cannot_see_cannot_be_hidden(pair: Pair, person: People) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "one")

    assert alice.delete(at(conversation, 2)).code == "message_not_found"
    assert person("eve").delete(at(conversation, 1)).code == "conversation_not_found"


# ---------------------------------------------------------------- reactions


def test_reactions_are_counted_and_shown_to_all(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    deployment.drain()
    at_alice = alice.connect()

    react(bob, conversation, "👍")
    react(alice, conversation, "👍")
    message = react(bob, conversation, "🎉").json
    deployment.push()

    both = sorted([alice.id, bob.id])
    assert message["reactions"] == [
        {"emoji": "👍", "count": 2, "user_ids": both},
        {"emoji": "🎉", "count": 1, "user_ids": [bob.id]},
    ]
    assert alice.history(conversation) == [message]
    [event] = at_alice.events  # three changes, pushed together, show one state
    assert event["data"] == {"message": message}


def test_reacting_twice_is_reacting_once_and_taking_it_back_leaves_none(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    first = react(bob, conversation).json
    deployment.drain()

    assert react(bob, conversation).json == first
    assert deployment.queued() == []
    for _ in range(2):
        answer = bob.delete(f"{at(conversation)}/reactions/{quote('👍')}")
        assert (answer.status, answer.json["reactions"]) == (200, [])


def test_the_same_picture_written_otherwise_is_the_same_reaction(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")

    react(alice, conversation, "❤")
    message = react(bob, conversation, "❤️").json

    assert [(one["emoji"], one["count"]) for one in message["reactions"]] == [("❤️", 2)]


@pytest.mark.parametrize("text", ["x", "👍👍", "1", "👍x", ":+1:", "<b>", " ", "👍" * 30])
def test_a_reaction_is_one_emoji(pair: Pair, text: str) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "one")

    assert react(alice, conversation, text).code == "validation_failed"


def test_a_message_has_at_most_twenty_different_reactions(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    for emoji in "😀😁😂🤣😃😄😅😆😉😊😋😎😍😘🥰😗😙😚🙂🤗":
        assert react(alice, conversation, emoji).status == 200

    assert react(bob, conversation, "🤩").code == "too_many_reactions"
    assert react(bob, conversation, "😀").status == 200


def test_many_react_at_once_and_each_counts(group: Group) -> None:
    alice, bob, carol, conversation = group
    seq = alice.say(conversation, "one").json["seq"]

    threads = [
        threading.Thread(target=react, args=(who, conversation, emoji, seq))
        for who in (alice, bob, carol)
        for emoji in ("👍", "🎉")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    reactions = alice.history(conversation)[-1]["reactions"]
    assert {(one["emoji"], one["count"]) for one in reactions} == {("👍", 3), ("🎉", 3)}


def test_no_reaction_to_what_was_recalled_or_where_nothing_can_be_said(pair: Pair) -> None:
    alice, bob, conversation = pair
    alice.say(conversation, "one")
    alice.say(conversation, "two")
    recall(alice, conversation, 1)
    assert react(bob, conversation).code == "message_recalled"

    bob.delete(f"/v1/friends/{alice.id}")
    assert react(bob, conversation, seq=2).code == "not_friends"


# ---------------------------------------------------------------- mentioning everyone


def test_owner_and_admins_mention_everyone_in_a_group(group: Group, pair: Pair) -> None:
    alice, bob, _, conversation = group
    everyone = {**a_text("@all"), "mentions": ["all"]}

    assert alice.post(f"/v1/conversations/{conversation}/messages", everyone).json["mentions"] == ["all"]
    refused = bob.post(f"/v1/conversations/{conversation}/messages", everyone)
    assert (refused.status, refused.code) == (403, "not_permitted")
    one, _, single = pair
    assert one.post(f"/v1/conversations/{single}/messages", everyone).code == "not_permitted"


# ---------------------------------------------------------------- forwarding


def test_a_message_is_forwarded_into_several_conversations(pair: Pair, group: Group, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    owner, *_, group_id = group
    alice.say(conversation, "news")
    other = bob.befriend(owner)
    owner.post(f"/v1/conversations/{group_id}/members", {"user_ids": [bob.id]})

    answer = forward(bob, conversation, group_id, other)

    assert answer.status == 201
    assert [message["conversation_id"] for message in answer.json["items"]] == [group_id, other]
    for message in answer.json["items"]:
        assert (message["sender_id"], message["content"]) == (bob.id, {"text": "news"})
        assert owner.history(message["conversation_id"])[-1] == message


def test_the_same_forward_again_sends_nothing_twice(pair: Pair, person: People) -> None:
    alice, bob, conversation = pair
    other = alice.befriend(person("carol"))
    bob.say(conversation, "news")
    first = forward(alice, conversation, other)

    again = forward(alice, conversation, other)

    assert (again.status, again.json) == (200, first.json)
    assert len(alice.history(other)) == 1


def test_a_forward_goes_into_all_conversations_or_none(pair: Pair, person: People) -> None:
    alice, bob, conversation = pair
    carol = person("carol")
    other = alice.befriend(carol)
    carol.delete(f"/v1/friends/{alice.id}")
    bob.say(conversation, "news")

    refused = forward(alice, conversation, conversation, other)

    assert refused.code == "validation_failed"
    assert refused.json["errors"] == [{"loc": ["body", "conversation_ids", 1], "msg": "not_friends"}]
    assert len(alice.history(conversation)) == 1
    assert forward(alice, conversation, "01ARZ3NDEKTSV4RRFFQ69G5FAV").code == "validation_failed"


def test_recalled_and_system_messages_are_not_forwarded(pair: Pair, group: Group) -> None:
    alice, _, conversation = pair
    alice.say(conversation, "news")
    recall(alice, conversation)
    owner, *_, group_id = group

    assert forward(alice, conversation, conversation).code == "message_recalled"
    assert forward(owner, group_id, group_id).code == "message_not_editable"


def test_two_who_forward_to_and_fro_do_not_wait_for_each_other(group: Group) -> None:
    alice, bob, carol, one = group
    two = alice.post("/v1/conversations", {"name": "two", "member_ids": [bob.id, carol.id]}).json["id"]
    alice.say(one, "one")
    alice.say(two, "two")
    answers: list[Response] = []

    def to_and_fro(who: Person, source: str, target: str) -> None:
        answers.extend(forward(who, source, target, seq=2, client_id=f"f-{n}") for n in range(4))

    threads = [
        threading.Thread(target=to_and_fro, args=(alice, one, two)),
        threading.Thread(target=to_and_fro, args=(bob, two, one)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status for answer in answers] == [201] * 8


# ---------------------------------------------------------------- who has read


def test_who_has_read_a_message_is_listed_in_pages(group: Group) -> None:
    alice, bob, carol, conversation = group
    seq = alice.say(conversation, "one").json["seq"]
    path = f"{at(conversation, seq)}/receipts"
    assert alice.get(path).json["items"] == []

    bob.read(conversation, seq)
    carol.read(conversation, seq - 1)
    assert [item["user"]["id"] for item in alice.get(path).json["items"]] == [bob.id]

    carol.read(conversation, seq)
    first = alice.get(f"{path}?limit=1").json
    second = alice.get(f"{path}?limit=1&cursor={first['next_cursor']}").json
    assert [item["user"]["id"] for item in first["items"] + second["items"]] == sorted([bob.id, carol.id])
    assert second["next_cursor"] is None


def test_who_joined_later_or_left_has_not_read_it(group: Group, person: People) -> None:
    alice, bob, _, conversation = group
    dave = person("dave")
    alice.befriend(dave)
    seq = alice.say(conversation, "one").json["seq"]
    bob.read(conversation, seq)
    alice.post(f"/v1/conversations/{conversation}/members", {"user_ids": [dave.id]})
    bob.delete(f"/v1/conversations/{conversation}/members/{bob.id}")

    assert alice.get(f"{at(conversation, seq)}/receipts").json["items"] == []


def test_readings_pushed_together_are_one_event(pair: Pair, deployment: Deployment) -> None:
    alice, bob, conversation = pair
    for n in range(5):
        alice.say(conversation, f"message {n}")
    deployment.drain()
    at_alice = alice.connect()

    for seq in range(1, 6):
        bob.read(conversation, seq)
    deployment.push()

    [event] = [e for e in at_alice.events if e["type"] == "message.read"]
    assert event["data"]["seq"] == 5


def test_in_a_large_group_readings_are_listed_and_told_to_nobody_else(group: Group, deployment: Deployment) -> None:
    alice, bob, _, conversation = group
    fill(conversation, 60)
    seq = alice.say(conversation, "one").json["seq"]
    deployment.drain()
    at_alice = alice.connect()

    bob.read(conversation, seq)
    deployment.push()

    assert at_alice.events == []
    assert [item["user"]["id"] for item in alice.get(f"{at(conversation, seq)}/receipts").json["items"]] == [bob.id]


def test_reading_in_a_large_group_waits_for_nobody_who_sends(group: Group) -> None:
    alice, bob, _, conversation = group
    fill(conversation, 60)
    seq = alice.say(conversation, "one").json["seq"]

    with stores.engine().begin() as sending:
        sending.execute(sa.select(conversations.c.id).where(conversations.c.id == conversation).with_for_update())
        assert bob.read(conversation, seq).json["seq"] == seq

    assert card(bob, conversation)["unread_count"] == 0
