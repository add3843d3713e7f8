"""Whatever three people do to each other, in whatever order, what holds after each step holds."""

import itertools
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.tables import conversations, friend_requests, friendships
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.support.people import Person

People = Callable[[str], Person]
Pair = frozenset[int]

_PAIRS = st.sampled_from(list(itertools.permutations(range(3), 2)))


class Friendships(RuleBasedStateMachine):
    """Three people, and a model of what is between each two."""

    newcomers: Callable[[], list[Person]]

    @initialize()
    def begin(self) -> None:
        self.people = self.newcomers()
        self.friends: set[Pair] = set()
        self.blocks: set[tuple[int, int]] = set()
        self.pending: dict[tuple[int, int], str] = {}
        self.singles: dict[Pair, str] = {}
        self.sent: dict[Pair, int] = {}

    @rule(who=_PAIRS)
    def ask(self, who: tuple[int, int]) -> None:
        asker, asked = who
        answer = self.people[asker].post("/v1/friend-requests", {"user_id": self.people[asked].id})
        if who in self.blocks:
            assert answer.code == "user_blocked"
        elif {asker, asked} in self.friends:
            assert answer.code == "already_friends"
        elif who in self.pending:
            assert (answer.status, answer.json["id"]) == (200, self.pending[who])
        elif (asked, asker) in self.pending:
            assert (answer.status, answer.json["status"]) == (200, "accepted")
            self._become_friends(asked, asker)
        else:
            assert answer.status == 201
            self.pending[who] = answer.json["id"]

    @rule(who=_PAIRS, verb=st.sampled_from(["accept", "reject"]))
    def decide(self, who: tuple[int, int], verb: str) -> None:
        asker, asked = who
        if who not in self.pending:
            return
        answer = self.people[asked].post(f"/v1/friend-requests/{self.pending[who]}/{verb}")
        if (asked, asker) in self.blocks:
            assert answer.code == "friend_request_not_found"
        elif verb == "accept":
            assert answer.status == 200
            self._become_friends(asker, asked)
        else:
            assert answer.json["status"] == "rejected"
            del self.pending[who]

    @rule(who=_PAIRS)
    def withdraw(self, who: tuple[int, int]) -> None:
        if who in self.pending:
            assert self.people[who[0]].delete(f"/v1/friend-requests/{self.pending.pop(who)}").status == 204

    @rule(who=_PAIRS)
    def remove(self, who: tuple[int, int]) -> None:
        answer = self.people[who[0]].delete(f"/v1/friends/{self.people[who[1]].id}")
        assert answer.status == (204 if frozenset(who) in self.friends else 404)
        self.friends.discard(frozenset(who))

    @rule(who=_PAIRS)
    def block(self, who: tuple[int, int]) -> None:
        assert self.people[who[0]].put(f"/v1/blocks/{self.people[who[1]].id}").status == 204
        if who not in self.blocks:
            self.pending.pop(who, None)  # whoever blocks takes back what they asked
        self.blocks.add(who)

    @rule(who=_PAIRS)
    def unblock(self, who: tuple[int, int]) -> None:
        assert self.people[who[0]].delete(f"/v1/blocks/{self.people[who[1]].id}").status == 204
        self.blocks.discard(who)

    @rule(who=_PAIRS)
    def send(self, who: tuple[int, int]) -> None:
        pair = frozenset(who)
        if pair not in self.singles:
            return
        answer = self.people[who[0]].say(self.singles[pair], "hello")
        if who in self.blocks:
            assert answer.code == "user_blocked"
        elif pair not in self.friends or who[::-1] in self.blocks:
            assert answer.code == "not_friends"
        else:
            self.sent[pair] += 1
            assert (answer.status, answer.json["seq"]) == (201, self.sent[pair])

    def _become_friends(self, asker: int, accepter: int) -> None:
        pair = frozenset((asker, accepter))
        self.pending.pop((asker, accepter), None)
        self.friends.add(pair)
        seen = self.people[accepter].get("/v1/conversations").json["items"]
        single = next(item["id"] for item in seen if item["peer"]["id"] == self.people[asker].id)
        assert self.singles.setdefault(pair, single) == single, "a pair has one conversation for ever"
        self.sent.setdefault(pair, 0)

    @invariant()
    def everyone_sees_what_the_model_says(self) -> None:
        for index, someone in enumerate(self.people):
            friends = {item["user"]["id"] for item in someone.get("/v1/friends").json["items"]}
            assert friends == {
                self.people[other].id for pair in self.friends if index in pair for other in pair - {index}
            }
            blocked = {item["user"]["id"] for item in someone.get("/v1/blocks").json["items"]}
            assert blocked == {self.people[other].id for one, other in self.blocks if one == index}
            self._check_requests(index, someone)
            for item in someone.get("/v1/conversations").json["items"]:
                assert item["unread_count"] >= 0

    def _check_requests(self, index: int, someone: Person) -> None:
        shown = {
            direction: {
                item["id"]
                for item in someone.get(f"/v1/friend-requests?direction={direction}&limit=100").json["items"]
                if item["status"] == "pending"
            }
            for direction in ("incoming", "outgoing")
        }
        assert shown["outgoing"] == {request for (asker, _), request in self.pending.items() if asker == index}
        assert shown["incoming"] == {
            request
            for (asker, asked), request in self.pending.items()
            if asked == index and (index, asker) not in self.blocks
        }

    @invariant()
    def the_database_agrees(self) -> None:
        numbers = {someone.id: index for index, someone in enumerate(self.people)}
        with stores.engine().connect() as connection:
            sides = {(row.user_id, row.friend_id) for row in connection.execute(sa.select(friendships))}
            singles = connection.execute(sa.select(conversations.c.pair, conversations.c.is_open)).all()
            pending = connection.scalars(sa.select(friend_requests.c.id).where(friend_requests.c.pending == 1)).all()
        assert sides == {(b, a) for a, b in sides}, "friendship is symmetric"
        assert len({pair for pair, _ in singles}) == len(singles) == len(self.singles)
        assert set(pending) == set(self.pending.values())
        for text, is_open in singles:
            one, other = (numbers[user_id] for user_id in text.split(":"))
            is_blocked = (one, other) in self.blocks or (other, one) in self.blocks
            assert is_open == (frozenset((one, other)) in self.friends and not is_blocked)


@pytest.fixture
def newcomers(person: People) -> Callable[[], list[Person]]:
    """Begin anew with three people; those of before are in nobody's way."""

    def anew() -> list[Person]:
        with stores.engine().begin() as connection:
            for table in (friendships, friend_requests, conversations):
                connection.execute(sa.delete(table))
        return [person(name) for name in ("one", "two", "three")]

    return anew


def test_whatever_three_people_do_to_each_other_the_answers_are_the_models(
    newcomers: Callable[[], list[Person]],
) -> None:
    class Among(Friendships):
        pass

    Among.newcomers = staticmethod(newcomers)
    run_state_machine_as_test(
        Among,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
