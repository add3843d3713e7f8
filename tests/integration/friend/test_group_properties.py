"""Whatever four people do to their groups, in whatever order, what holds after each step holds."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.ids import new_id
from hongyan.permissions import PERMISSIONS
from hongyan.tables import conversations, members
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.gateway import Response
from tests.support.people import Person

People = Callable[[str], Person]

_WHO = st.integers(0, 3)
_ROLES = st.sampled_from(["admin", "member"])


@dataclass
class Membership:
    """One time of somebody in the group, as the model knows it."""

    joined: int
    role: str | None
    left: int | None = None
    read: int = 0


@dataclass
class Group:
    """The group as it must be: the senders of its messages in order, and who is or was in it."""

    is_open: bool = True
    senders: list[int] = field(default_factory=list)
    memberships: dict[int, Membership] = field(default_factory=dict)

    def role(self, who: int) -> str | None:
        return self.memberships[who].role if who in self.memberships else None

    def write(self, who: int) -> None:
        membership = self.memberships[who]
        has_read_all = membership.read == len(self.senders)
        self.senders.append(who)
        if has_read_all:
            membership.read = len(self.senders)

    def join(self, who: int, role: str) -> None:
        self.memberships[who] = Membership(len(self.senders), role, read=len(self.senders))

    def end(self, who: int) -> int:
        left = self.memberships[who].left
        return len(self.senders) if left is None else left

    def unread(self, who: int) -> int:
        return sum(sender != who for sender in self.senders[self.memberships[who].read : self.end(who)])

    def problem(self, who: int) -> str | None:
        """Return what speaks against whatever somebody wants to change."""
        if who not in self.memberships:
            return "conversation_not_found"
        if self.memberships[who].left is not None:
            return "not_a_member"
        return None if self.is_open else "group_dissolved"

    def problem_with(self, who: int, action: Any) -> str | None:
        return self.problem(who) or (None if self.role(who) in PERMISSIONS[action] else "not_permitted")


class Groups(RuleBasedStateMachine):
    """Four friends, the last of whom is friends with the first alone, and one group after another."""

    people: list[Person]

    def __init__(self) -> None:
        super().__init__()
        self.group: Group | None = None
        self.group_id = ""

    @property
    def model(self) -> Group:
        assert self.group is not None
        return self.group

    @property
    def path(self) -> str:
        return f"/v1/conversations/{self.group_id}"

    def check(self, answer: Response, problem: str | None) -> bool:
        """Check that the answer is the model's, and return whether it was done."""
        assert (answer.status >= 300, problem and answer.code) == (problem is not None, problem), answer.text
        return problem is None

    @initialize(owner=st.integers(0, 2))
    def begin(self, owner: int) -> None:
        others = [who for who in range(3) if who != owner]
        body = {"name": "team", "member_ids": [self.people[who].id for who in others]}
        made = self.people[owner].post("/v1/conversations", body)
        assert made.status == 201
        self.group_id = made.json["id"]
        self.group = Group()
        self.group.join(owner, "owner")
        for who in others:
            self.group.join(who, "member")
        self.group.write(owner)

    @precondition(lambda self: not self.model.is_open)
    @rule(owner=st.integers(0, 2))
    def begin_again(self, owner: int) -> None:
        self.begin(owner)

    @rule(who=_WHO)
    def send(self, who: int) -> None:
        problem = self.model.problem(who)
        if self.check(self.people[who].say(self.group_id, "x"), problem):
            self.model.write(who)

    @rule(who=_WHO, share=st.floats(0, 1.2))
    def read(self, who: int, share: float) -> None:
        seq = max(1, int(share * len(self.model.senders)))
        membership = self.model.memberships.get(who)
        problem: str | None = "conversation_not_found"
        if membership is not None:
            problem = "validation_failed" if seq > self.model.end(who) else None
        answer = self.people[who].read(self.group_id, seq)
        if self.check(answer, problem) and membership is not None:
            membership.read = max(membership.read, seq)
            assert answer.json["seq"] == membership.read

    @rule(who=_WHO, whom=_WHO)
    def invite(self, who: int, whom: int) -> None:
        model = self.model
        is_present = model.role(whom) is not None
        are_friends = 3 not in {who, whom} or 0 in {who, whom}
        problem = model.problem(who)
        if problem is None and (who == whom or not (is_present or are_friends)):
            problem = "validation_failed"
        answer = self.people[who].post(f"{self.path}/members", {"user_ids": [self.people[whom].id]})
        if self.check(answer, problem):
            assert len(answer.json["items"]) == (not is_present)
            if not is_present:
                model.join(whom, "member")
                model.write(who)

    @rule(who=_WHO, whom=_WHO)
    def remove(self, who: int, whom: int) -> None:
        model = self.model
        if who == whom:
            problem = model.problem(who) or ("owner_must_hand_over" if model.role(who) == "owner" else None)
        else:
            problem = model.problem_with(who, "remove a member") or self._problem_of_removing(who, whom)
        if self.check(self.people[who].delete(f"{self.path}/members/{self.people[whom].id}"), problem):
            model.write(who)
            model.memberships[whom].role, model.memberships[whom].left = None, len(model.senders)

    def _problem_of_removing(self, who: int, whom: int) -> str | None:
        match self.model.role(whom):
            case None:
                return "member_not_found"
            case "member":
                return None
            case "admin":
                return self.model.problem_with(who, "remove an admin")
            case _:
                return "not_permitted"

    @rule(who=_WHO, whom=_WHO, role=_ROLES)
    def give_role(self, who: int, whom: int, role: str) -> None:
        model = self.model
        problem = model.problem_with(who, "give and take admin")
        if problem is None and who == whom:
            problem = "owner_must_hand_over"
        elif problem is None and model.role(whom) is None:
            problem = "member_not_found"
        answer = self.people[who].patch(f"{self.path}/members/{self.people[whom].id}", {"role": role})
        if self.check(answer, problem) and model.role(whom) != role:
            model.memberships[whom].role = role
            model.write(who)

    @rule(who=_WHO, whom=_WHO)
    def hand_over(self, who: int, whom: int) -> None:
        model = self.model
        problem = model.problem_with(who, "hand over")
        if problem is None and model.role(whom) is None:
            problem = "validation_failed"
        answer = self.people[who].put(f"{self.path}/owner", {"user_id": self.people[whom].id})
        if self.check(answer, problem) and who != whom:
            model.memberships[who].role, model.memberships[whom].role = "admin", "owner"
            model.write(who)

    @rule(who=_WHO)
    def rename(self, who: int) -> None:
        problem = self.model.problem_with(who, "change name, announcement, avatar")
        if self.check(self.people[who].patch(self.path, {"name": new_id()}), problem):
            self.model.write(who)

    @rule(who=_WHO, is_meant=st.integers(0, 3).map(lambda number: number == 0))
    def dissolve(self, who: int, is_meant: bool) -> None:  # noqa: FBT001  # hypothesis names it
        if self.model.role(who) == "owner" and not is_meant:
            return  # else few groups would live long enough
        if self.check(self.people[who].delete(self.path), self.model.problem_with(who, "dissolve")):
            self.model.write(who)
            self.model.is_open = False

    @invariant()
    def everyone_sees_what_the_model_says(self) -> None:
        present = [who for who in self.model.memberships if self.model.role(who) is not None]
        for who, person in enumerate(self.people):
            membership = self.model.memberships.get(who)
            seen = person.get(self.path)
            if membership is None:
                assert seen.code == "conversation_not_found"
                assert person.get(f"{self.path}/messages").code == "conversation_not_found"
                continue
            end = self.model.end(who)
            shown = {name: seen.json[name] for name in ("role", "member_count", "last_seq", "read_seq", "unread_count")}
            assert shown == {
                "role": membership.role,
                "member_count": len(present) if who in present else None,
                "last_seq": end,
                "read_seq": membership.read,
                "unread_count": self.model.unread(who),
            }
            assert seen.json["last_message"]["seq"] == end
            history = person.history(self.group_id, after_seq=0, limit=100)
            senders = [self.people[number].id for number in self.model.senders[membership.joined : end]]
            assert [message["seq"] for message in history] == list(range(membership.joined + 1, end + 1))
            assert [message["sender_id"] for message in history] == senders

    @invariant()
    def the_database_has_one_owner_and_counts_right(self) -> None:
        with stores.engine().connect() as connection:
            for group in connection.execute(sa.select(conversations).where(conversations.c.kind == "group")):
                people = connection.execute(sa.select(members).where(members.c.conversation_id == group.id)).all()
                present = [member for member in people if member.left_seq is None]
                assert [member.role for member in present].count("owner") == 1
                assert group.member_count == len(present)
                for member in people:
                    end = group.last_seq if member.left_seq is None else member.left_seq
                    assert member.joined_seq <= member.read_seq <= end <= group.last_seq
                    assert end - member.read_seq - member.own_after_read >= 0


@pytest.fixture
def friends(person: People) -> list[Person]:
    people = [person(name) for name in ("alice", "bob", "carol", "dave")]
    for one, other in itertools.combinations(range(4), 2):
        if other != 3 or one == 0:
            people[one].befriend(people[other])
    return people


def test_whatever_four_people_do_to_their_groups_the_answers_are_the_models(friends: list[Person]) -> None:
    class WithTheseFriends(Groups):
        people = friends

    run_state_machine_as_test(
        WithTheseFriends,
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
