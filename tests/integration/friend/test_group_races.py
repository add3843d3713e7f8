"""What several do to a group at the same moment happens one after the other."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.tables import conversations, members, messages

from tests.support.gateway import Response
from tests.support.groups import Team, happenings, invite, remove, roles
from tests.support.people import Person

People = Callable[[str], Person]

_ROUNDS = 5


def at_once(*calls: Callable[[], Response]) -> list[Response]:
    """Let the calls begin together; none may fail for a reason of ours."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], Response]) -> Response:
        together.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(run, calls))
    assert all(answer.status < 500 for answer in answers), [answer.text for answer in answers]
    return answers


def outcome(answer: Response) -> str:
    return "done" if answer.status < 300 else answer.code


def check_consistency(group: str) -> None:
    """Check what must hold whatever happened."""
    with stores.engine().connect() as connection:
        card = connection.execute(sa.select(conversations).where(conversations.c.id == group)).one()
        people = connection.execute(sa.select(members).where(members.c.conversation_id == group)).all()
        seqs = connection.scalars(sa.select(messages.c.seq).where(messages.c.conversation_id == group)).all()
    present = [member for member in people if member.left_seq is None]
    assert card.member_count == len(present)
    assert [member.role for member in present].count("owner") == 1
    assert all((member.role is None) == (member.left_seq is not None) for member in people)
    assert sorted(seqs) == list(range(1, card.last_seq + 1))
    for member in people:
        end = card.last_seq if member.left_seq is None else member.left_seq
        assert 0 <= member.joined_seq <= member.read_seq <= end <= card.last_seq
        assert end - member.read_seq - member.own_after_read >= 0


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_of_two_hand_overs_by_one_owner_the_first_counts(team: Team, _: int) -> None:
    alice, bob, carol, group = team
    laptop = alice.on_another_device()
    path = f"/v1/conversations/{group}/owner"

    answers = at_once(
        lambda: alice.put(path, {"user_id": bob.id}),
        lambda: laptop.put(path, {"user_id": carol.id}),
    )

    assert sorted(map(outcome, answers)) == ["done", "not_permitted"]
    new_owner = bob if answers[0].status == 200 else carol
    assert roles(alice, group)[new_owner.id] == "owner"
    assert roles(alice, group)[alice.id] == "admin"
    check_consistency(group)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_a_group_is_never_handed_over_to_who_leaves_at_that_moment(team: Team, _: int) -> None:
    alice, bob, _carol, group = team

    handed, left = at_once(
        lambda: alice.put(f"/v1/conversations/{group}/owner", {"user_id": bob.id}),
        lambda: remove(bob, group, bob),
    )

    assert (outcome(handed), outcome(left)) in {("done", "owner_must_hand_over"), ("validation_failed", "done")}
    check_consistency(group)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_who_leaves_while_being_removed_goes_once(team: Team, _: int) -> None:
    alice, bob, _carol, group = team

    removed, left = at_once(lambda: remove(alice, group, bob), lambda: remove(bob, group, bob))

    assert (outcome(removed), outcome(left)) in {("done", "not_a_member"), ("member_not_found", "done")}
    assert len(happenings(alice, group)) == 2
    check_consistency(group)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_whom_two_invite_joins_once(team: Team, person: People, _: int) -> None:
    alice, bob, _carol, group = team
    dave = person("dave")
    for friend in (alice, bob):
        friend.befriend(dave)

    answers = at_once(lambda: invite(alice, group, dave), lambda: invite(bob, group, dave))

    assert sorted(len(answer.json["items"]) for answer in answers) == [0, 1]
    assert happenings(dave, group) == ["members_added"]
    check_consistency(group)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_nobody_joins_a_group_after_its_end(team: Team, person: People, _: int) -> None:
    alice, bob, _carol, group = team
    dave = person("dave")
    bob.befriend(dave)

    dissolved, invited, sent = at_once(
        lambda: alice.delete(f"/v1/conversations/{group}"),
        lambda: invite(bob, group, dave),
        lambda: bob.say(group, "hello"),
    )

    assert outcome(dissolved) == "done"
    assert {outcome(invited), outcome(sent)} <= {"done", "group_dissolved"}
    assert happenings(alice, group)[-1] == "group_dissolved"
    assert (dave.id in roles(alice, group)) == (outcome(invited) == "done")
    check_consistency(group)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_what_is_said_while_somebody_is_removed_is_theirs_up_to_a_point(team: Team, _: int) -> None:
    alice, bob, carol, group = team

    answers = at_once(
        *(lambda who=who, n=n: who.say(group, f"{who.username} {n}") for who in (bob, carol) for n in range(3)),
        lambda: remove(alice, group, bob),
    )

    assert {outcome(answer) for answer in answers} <= {"done", "not_a_member"}
    whole = happenings(carol, group)
    cut = whole.index("member_removed")
    assert happenings(bob, group) == whole[: cut + 1]
    assert not any(text.startswith(bob.username) for text in whole[cut:])
    check_consistency(group)


@pytest.mark.parametrize("_", range(_ROUNDS))
def test_an_admin_who_is_demoted_removes_somebody_before_or_not_at_all(team: Team, _: int) -> None:
    alice, bob, carol, group = team
    path = f"/v1/conversations/{group}/members"
    alice.patch(f"{path}/{bob.id}", {"role": "admin"})

    demoted, removed = at_once(
        lambda: alice.patch(f"{path}/{bob.id}", {"role": "member"}),
        lambda: remove(bob, group, carol),
    )

    assert outcome(demoted) == "done"
    assert outcome(removed) in {"done", "not_permitted"}
    assert (carol.id in roles(alice, group)) == (outcome(removed) == "not_permitted")
    check_consistency(group)
