"""Many people on several devices each, any of which misses, repeats and mistakes the order of what it is told.

In the end each syncs, and holds what the server holds. The steps are those of a seed, which a failure prints:

    HONGYAN_SIMULATION_SEED=... pytest tests/integration/message/test_simulation.py

With HONGYAN_SIMULATION_SECONDS=180, twenty people go on for so long.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from hongyan_client.models import Conversation, Friend, Message, OwnSession
from hongyan_client.state import LocalState

from tests.support.deployment import Deployment
from tests.support.devices import Device
from tests.support.gateway import Response
from tests.support.people import Person, a_text

_DEVICES_EACH = 3
_STEPS = 300
_EMOJIS = ("👍", "🎉", "😀")
_PRESENCE = {"online", "last_seen_at"}


class Simulation:
    """A world of people who do anything at random."""

    def __init__(self, deployment: Deployment, folder: Path, random: Random, people: list[Person]) -> None:
        self._deployment = deployment
        self._random = random
        self.people = people
        self.devices = [
            Device(owner if number == 0 else owner.on_another_device(), folder / f"{owner.username}-{number}.db")
            for owner in people
            for number in range(_DEVICES_EACH)
        ]
        self._acts: list[tuple[int, Callable[[Device], None]]] = [
            (24, self._say),
            (6, self._edit),
            (5, self._recall),
            (5, self._hide),
            (10, self._react),
            (3, self._take_reaction_back),
            (12, self._read),
            (3, self._forward),
            (3, self._change_settings),
            (2, self._rename_oneself),
            (3, self._come_or_go),
            (2, self._change_group),
            (3, self._befriend_or_part),
            (2, self._block_or_unblock),
            (8, self._push),
            (10, lambda device: device.listen(random)),
            (6, Device.connect_or_drop),
            (10, lambda device: device.sync(random.randint(1, 20))),
            (6, lambda device: device.sync(random.randint(1, 5), answers=random.randrange(3))),
            (1, lambda device: device.sync(lose_cursor=True)),
            (4, self._fill),
            (2, Device.restart),
        ]
        self._befriend_neighbours()
        self._groups = [self._make_group(people), self._make_group(people[::-1])]

    def step(self) -> None:
        """Let one device do something."""
        [act] = self._random.choices([act for _, act in self._acts], [weight for weight, _ in self._acts])
        act(self._random.choice(self.devices))

    def settle(self) -> None:
        """Let every device sync to the end, before, between and after the last events."""
        self._push_all()
        for device in self.devices:
            device.listen(self._random)
            device.sync(self._random.randint(1, 100))
            device.hear_out(self._random)

    # The beginning.

    def _befriend_neighbours(self) -> None:
        for number, person in enumerate(self.people):
            for distance in (1, 2):
                other = self.people[(number + distance) % len(self.people)]
                if other not in (person, self.people[(number - 1) % len(self.people)]):
                    person.befriend(other)

    def _make_group(self, people: list[Person]) -> str:
        made = people[0].post(
            "/v1/conversations", {"name": "鸿雁", "member_ids": [people[1].id, people[2].id, people[-1].id]}
        )
        assert made.status == 201, made.text
        group_id: str = made.json["id"]
        return group_id

    # What is said, and what becomes of it.

    def _say(self, device: Device) -> None:
        if card := self._conversation(device):
            self._done(device.person.say(card.id, f"message {self._random.random()}"))

    def _edit(self, device: Device) -> None:
        if path := self._message(device, own=True):
            self._done(device.person.patch(path, {"content": {"text": f"edited {self._random.random()}"}}))

    def _recall(self, device: Device) -> None:
        if path := self._message(device, own=self._random.random() < 0.8):
            self._done(device.person.post(f"{path}/recall"))

    def _hide(self, device: Device) -> None:
        if path := self._message(device):
            self._done(device.person.delete(path))

    def _react(self, device: Device) -> None:
        if path := self._message(device):
            self._done(device.person.put(f"{path}/reactions/{quote(self._random.choice(_EMOJIS))}"))

    def _take_reaction_back(self, device: Device) -> None:
        if path := self._message(device):
            self._done(device.person.delete(f"{path}/reactions/{quote(self._random.choice(_EMOJIS))}"))

    def _forward(self, device: Device) -> None:
        path, to = self._message(device), self._conversation(device)
        if path and to:
            client_id = a_text("")["client_id"]
            self._done(device.person.post(f"{path}/forward", {"client_id": client_id, "conversation_ids": [to.id]}))

    def _read(self, device: Device) -> None:
        card = self._conversation(device)
        if card and card.last_seq:
            self._done(device.person.read(card.id, self._random.randint(1, card.last_seq)))

    # Who is with whom.

    def _change_settings(self, device: Device) -> None:
        if card := self._conversation(device):
            settings = {self._random.choice(("muted", "pinned")): self._random.choice((True, False))}
            self._done(device.person.patch(f"/v1/conversations/{card.id}/settings", settings))

    def _rename_oneself(self, device: Device) -> None:
        self._done(device.person.patch("/v1/users/me", {"nickname": f"name {self._random.randrange(1000)}"}))

    def _come_or_go(self, device: Device) -> None:
        members, group = "/v1/conversations/{}/members", self._random.choice(self._groups)
        if self._random.random() < 0.4:
            self._done(device.person.delete(f"{members.format(group)}/{device.person.id}"))
            return
        other = self._random.choice(self.people)
        self._done(device.person.post(members.format(group), {"user_ids": [other.id]}))

    def _change_group(self, device: Device) -> None:
        path = f"/v1/conversations/{self._random.choice(self._groups)}"
        other = self._random.choice(self.people)
        if self._random.random() < 0.5:
            role = {"role": self._random.choice(("admin", "member"))}
            self._done(device.person.patch(f"{path}/members/{other.id}", role))
            return
        self._done(device.person.patch(path, {"name": f"group {self._random.randrange(1000)}"}))

    def _befriend_or_part(self, device: Device) -> None:
        person, other = device.person, self._random.choice(self.people)
        requests = person.get("/v1/friend-requests?direction=incoming&limit=100").json["items"]
        pending = [request["id"] for request in requests if request["status"] == "pending"]
        if pending:
            decision = self._random.choice(("accept", "accept", "reject"))
            self._done(person.post(f"/v1/friend-requests/{pending[0]}/{decision}"))
        elif self._random.random() < 0.3:
            self._done(person.delete(f"/v1/friends/{other.id}"))
        else:
            self._done(person.post("/v1/friend-requests", {"user_id": other.id, "message": ""}))

    def _block_or_unblock(self, device: Device) -> None:
        path = f"/v1/blocks/{self._random.choice(self.people).id}"
        self._done(device.person.put(path) if self._random.random() < 0.4 else device.person.delete(path))

    # What reaches a device.

    def _push(self, _: Device) -> None:
        assert self._deployment.push(at_most=self._random.randint(1, 5)) == []

    def _push_all(self) -> None:
        assert self._deployment.push(at_most=100_000) == []

    def _fill(self, device: Device) -> None:
        if card := self._conversation(device):
            device.fill(card.id, self._random.randint(1, 10))

    # What there is to choose from, as the device knows it.

    def _conversation(self, device: Device) -> Conversation | None:
        cards = device.state.conversations()
        return self._random.choice(cards) if cards else None

    def _message(self, device: Device, *, own: bool = False) -> str | None:
        """Return the path of a message."""
        card = self._conversation(device)
        messages = device.state.messages(card.id) if card else []
        candidates = [m for m in messages if m.sender_id == device.person.id or not own]
        if card is None or not candidates:
            return None
        return f"/v1/conversations/{card.id}/messages/{self._random.choice(candidates).seq}"

    @staticmethod
    def _done(answer: Response) -> None:
        # What a device does by an old state is refused; what the server does not expect, it is not to answer.
        assert answer.status < 500, answer.text


class Truth:
    """What the server says to one person."""

    def __init__(self, person: Person) -> None:
        self._person = person
        listed = [Conversation.model_validate(each) for each in self._all("/v1/conversations?limit=100")]
        self.conversations = {each.id: Conversation.model_validate(person.conversation(each.id)) for each in listed}
        self.histories = {conversation_id: self._history(conversation_id) for conversation_id in self.conversations}
        self.friends = {each["user"]["id"]: Friend.model_validate(each) for each in self._all("/v1/friends?limit=100")}
        self.blocked = {each["user"]["id"] for each in self._all("/v1/blocks?limit=100")}
        self.pending = {
            each["id"]
            for direction in ("incoming", "outgoing")
            for each in self._all(f"/v1/friend-requests?direction={direction}&limit=100")
            if each["status"] == "pending"
        }

    def _history(self, conversation_id: str) -> list[Message]:
        path = f"/v1/conversations/{conversation_id}/messages"
        return [
            Message.model_validate(each) for each in self._all(f"{path}?after_seq=0&limit=100", f"{path}?limit=100")
        ]

    def _all(self, path: str, path_on: str | None = None) -> Iterator[Any]:
        page = self._person.get(path).json
        yield from page["items"]
        while page["next_cursor"] is not None:
            page = self._person.get(f"{path_on or path}&cursor={page['next_cursor']}").json
            yield from page["items"]


def _check(device: Device, truth: Truth, read: dict[tuple[str, str], int]) -> None:
    """Hold a device against what the server says."""
    state = device.state
    _check_cards(state, truth, but={"last_message"})
    assert _without_presence(state.friends()) == _without_presence(truth.friends.values())
    assert {each.user.id for each in state.blocked()} == truth.blocked
    assert {each.id for each in state.friend_requests() if each.status == "pending"} == truth.pending
    sessions = [OwnSession.model_validate(each) for each in device.person.get("/v1/sessions").json["items"]]
    assert sorted(state.sessions(), key=_id) == sorted(sessions, key=_id)
    for conversation_id, whole in truth.histories.items():
        history = [message for message in whole if not message.hidden]
        held = state.messages(conversation_id, limit=10_000)
        assert held == [message for message in history if held and message.seq >= held[0].seq]
        while device.fill(conversation_id, 100):
            pass
        assert state.messages(conversation_id, limit=10_000) == history
        for user_id, seq in state.receipts(conversation_id).items():
            # Whoever had read all and says something has read that too. It is told to nobody, as nobody waits for it.
            unread = [m for m in whole if seq < m.seq <= read[conversation_id, user_id] and m.sender_id != user_id]
            assert seq <= read[conversation_id, user_id]
            assert unread == []
    # To who has hidden the last message the one before is the last, and history may have to tell it.
    _check_cards(state, truth, but=set())


def _check_cards(state: LocalState, truth: Truth, *, but: set[str]) -> None:
    cards = {each.id: each for each in state.conversations()}
    assert cards.keys() == truth.conversations.keys()
    for conversation_id, card in truth.conversations.items():
        # Nobody is told that a stranger goes by another name.
        untold = but | ({"peer"} if card.peer and card.peer.id not in truth.friends else set())
        assert cards[conversation_id].model_dump(exclude=untold) == card.model_dump(exclude=untold)


def _id(session: OwnSession) -> str:
    return session.id


def _without_presence(friends: Any) -> dict[str, dict[str, Any]]:
    return {friend.user.id: friend.model_dump(exclude=_PRESENCE) for friend in friends}


def test_whatever_is_lost_and_overtakes_each_device_ends_with_what_the_server_has(
    deployment: Deployment, person: Callable[[str], Person], tmp_path: Path
) -> None:
    seed = int(os.environ.get("HONGYAN_SIMULATION_SEED") or time.time_ns())
    seconds = float(os.environ.get("HONGYAN_SIMULATION_SECONDS") or 0)
    print(f"HONGYAN_SIMULATION_SEED={seed}")  # noqa: T201  # pytest shows it with a failure
    people = [person("somebody") for _ in range(20 if seconds else 6)]
    simulation = Simulation(deployment, tmp_path, Random(seed), people)

    ends_at, steps = time.monotonic() + seconds, 0
    while steps < _STEPS or time.monotonic() < ends_at:
        simulation.step()
        steps += 1
    simulation.settle()

    truths = {each.id: Truth(each) for each in people}
    read = {(card.id, owner): card.read_seq for owner, truth in truths.items() for card in truth.conversations.values()}
    for device in simulation.devices:
        _check(device, truths[device.person.id], read)
        device.state.close()
    print(f"{steps} steps, {sum(len(truth.histories) for truth in truths.values())} conversations as seen")  # noqa: T201
