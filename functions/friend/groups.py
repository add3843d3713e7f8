"""Groups: who is in them, who may do what, and what everyone is told of it.

Whatever happens in a group happens under the lock of its conversation, one thing at a time, and leaves a `system`
message under the next seq. So the messages say in which order people came and went, and each reads what lies between.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from hongyan import files, idempotency, timeline
from hongyan.cards import find_card, find_views
from hongyan.clock import now
from hongyan.errors import (
    ConversationNotFound,
    GroupDissolved,
    GroupFull,
    MemberNotFound,
    NotAGroup,
    NotAMember,
    NotPermitted,
    OwnerMustHandOver,
    ValidationFailed,
)
from hongyan.events import ConversationAudience, UsersAudience, event
from hongyan.ids import new_id
from hongyan.pagination import Page, decode_cursor, encode_cursor, page_of
from hongyan.permissions import Action, may
from hongyan.profiles import public_profile
from hongyan.schemas import Conversation, Role
from hongyan.timeline import SMALL_GROUP, Happening, Place
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.friend import group_repository as repository
from functions.friend.schemas import AddedMembers, GroupChange, Member, NewGroup

MAX_MEMBERS = 10_000

_CHANGE_CARD: Action = "change name, announcement, avatar"
_TOLD_AS: dict[str, Happening] = {
    "name": "group_renamed",
    "announcement": "announcement_changed",
    "avatar_file_id": "avatar_changed",
}
_REMOVING: dict[Role, Action] = {"member": "remove a member", "admin": "remove an admin"}
_MAX_ERRORS = 20


def create(user_id: str, new: NewGroup, key: str | None) -> Conversation:
    """Make a group of the caller, who owns it, and friends of theirs; or return what the key has made before.

    Raises:
        ConversationNotFound: it was made before, and the caller may not see it any more.
        IdempotencyKeyConflict: the key was used for another request.
        ValidationFailed: somebody named is not a friend of the caller, or is the caller.

    """
    return perform(lambda unit: _create(unit, user_id, new, key))


def change_card(user_id: str, conversation_id: str, change: GroupChange) -> Conversation:
    """Change the group's name, announcement or avatar. What is left out stays as it is.

    Raises:
        FileNotFound: the caller has no such file.
        FileNotUsable: its upload is not completed, or was not for an avatar.
        Problem: as :func:`_enter` and :func:`_require`.

    """
    return perform(lambda unit: _change_card(unit, user_id, conversation_id, change))


def dissolve(user_id: str, conversation_id: str) -> None:
    """End a group, for good. Everyone keeps what was said in it.

    Raises:
        Problem: as :func:`_enter` and :func:`_require`.

    """
    perform(lambda unit: _dissolve(unit, user_id, conversation_id))


def list_members(user_id: str, conversation_id: str, cursor: str | None, limit: int) -> Page[Member]:
    """Return a page of a group's members.

    Raises:
        ConversationNotFound: there is none such, or the caller never was in it.
        NotAGroup: it is a single.
        NotAMember: the caller has left it.

    """
    list_name = f"members:{conversation_id}"
    after = None if cursor is None else decode_cursor(list_name, user_id, cursor)[0]
    rows = read(lambda connection: _list_members(connection, user_id, conversation_id, after, limit + 1))
    return page_of(rows, limit, _member, lambda row: encode_cursor(list_name, user_id, [row.id]))


def add_members(user_id: str, conversation_id: str, user_ids: Sequence[str]) -> AddedMembers:
    """Add friends of the caller to a group, all or none, and return them. Who is in it already is left out.

    Raises:
        ValidationFailed: somebody named is not a friend of the caller, or is the caller.
        GroupFull: there would be more than 10,000.
        Problem: as :func:`_enter` and :func:`_require`.

    """
    return perform(lambda unit: _add_members(unit, user_id, conversation_id, user_ids))


def change_role(user_id: str, conversation_id: str, member_id: str, role: Role) -> Member:
    """Make a member an admin, or an admin a member.

    Raises:
        OwnerMustHandOver: it is the caller, who owns the group.
        MemberNotFound: they are not in the group.
        Problem: as :func:`_enter` and :func:`_require`.

    """
    return perform(lambda unit: _change_role(unit, user_id, conversation_id, member_id, role))


def remove(user_id: str, conversation_id: str, member_id: str) -> None:
    """Remove somebody from a group; oneself: leave it. They keep what was said until then.

    Raises:
        OwnerMustHandOver: it is the caller, who owns the group.
        MemberNotFound: they are not in the group.
        Problem: as :func:`_enter` and :func:`_require`.

    """
    perform(lambda unit: _remove(unit, user_id, conversation_id, member_id))


def hand_over(user_id: str, conversation_id: str, new_owner_id: str) -> Conversation:
    """Make another member the owner; the caller becomes an admin.

    Raises:
        ValidationFailed: they are not in the group.
        Problem: as :func:`_enter` and :func:`_require`.

    """
    return perform(lambda unit: _hand_over(unit, user_id, conversation_id, new_owner_id))


def _enter(unit: UnitOfWork, user_id: str, conversation_id: str) -> Place:
    """Lock a group that goes on and return the caller's place in it.

    Raises:
        ConversationNotFound: there is none such, or the caller never was in it.
        NotAGroup: it is a single.
        NotAMember: the caller has left it.
        GroupDissolved: it is over.

    """
    place = _in_group(timeline.lock(unit.connection, conversation_id, user_id))
    if not place.is_open:
        raise GroupDissolved
    return place


def _require(place: Place, action: Action) -> None:
    """Check the caller's role.

    Raises:
        NotPermitted: it does not include this.

    """
    if not may(place.role, action):
        raise NotPermitted


def _in_group(place: Place | None) -> Place:
    if place is None:
        raise ConversationNotFound
    if place.kind != "group":
        raise NotAGroup
    if place.left_seq is not None:
        raise NotAMember
    return place


def _create(unit: UnitOfWork, user_id: str, new: NewGroup, key: str | None) -> Conversation:
    conversation_id, size = new_id(), len(new.member_ids) + 1
    made_before = idempotency.made_before(unit, user_id, key, new, conversation_id)
    if made_before is not None:
        return find_card(unit.connection, user_id, made_before)
    _check_friends(unit, user_id, new.member_ids, "member_ids")
    began_at = now()
    repository.insert_group(unit.connection, conversation_id, new.name, user_id, new.member_ids, began_at)
    place = Place(
        conversation_id,
        user_id,
        kind="group",
        is_open=True,
        last_seq=0,
        change_seq=0,
        last_activity_at=began_at,
        member_count=size,
        role="owner",
        joined_seq=0,
        left_seq=None,
        read_seq=0,
        own_after_read=0,
    )
    timeline.note(unit, place, "group_created", name=new.name, user_ids=new.member_ids)
    _announce_created(unit, conversation_id, [user_id])
    _announce_created(unit, conversation_id, new.member_ids)
    return find_card(unit.connection, user_id, conversation_id)


def _change_card(unit: UnitOfWork, user_id: str, conversation_id: str, change: GroupChange) -> Conversation:
    place = _enter(unit, user_id, conversation_id)
    _require(place, _CHANGE_CARD)
    card = repository.find_card(unit.connection, conversation_id)._mapping  # noqa: SLF001  # SQLAlchemy's public name
    wanted = change.model_dump(exclude_unset=True)
    changed = {
        name: value
        for name, value in wanted.items()
        if value != card[name] and (value is not None or name == "avatar_file_id")
    }
    if changed:
        _change_group(unit, user_id, conversation_id, changed, card["avatar_file_id"])
    for name, value in changed.items():
        place = timeline.note(unit, place, _TOLD_AS[name], **{name: value})
    if changed and (place.member_count or 0) <= SMALL_GROUP:
        for member_id, seen in find_views(unit.connection, conversation_id).items():
            unit.announce(event("conversation.updated", UsersAudience(user_ids=[member_id]), conversation=seen))
    return find_card(unit.connection, user_id, conversation_id)


def _change_group(
    unit: UnitOfWork, user_id: str, conversation_id: str, changed: dict[str, Any], old_avatar_id: str | None
) -> None:
    avatar_id = changed.get("avatar_file_id")
    if avatar_id is not None:
        files.use(unit.connection, user_id, avatar_id, "avatar")
    repository.set_group(unit.connection, conversation_id, **changed)
    if "avatar_file_id" in changed:
        files.release_avatar(unit.connection, old_avatar_id)


def _dissolve(unit: UnitOfWork, user_id: str, conversation_id: str) -> None:
    place = _enter(unit, user_id, conversation_id)
    _require(place, "dissolve")
    timeline.note(unit, place, "group_dissolved")
    repository.set_group(unit.connection, conversation_id, is_open=False)
    everyone = ConversationAudience(conversation_id=conversation_id)
    unit.announce(event("conversation.removed", everyone, conversation_id=conversation_id, reason="dissolved"))


def _list_members(
    connection: sa.Connection, user_id: str, conversation_id: str, after_id: str | None, limit: int
) -> Sequence[sa.Row[Any]]:
    _in_group(timeline.find(connection, conversation_id, user_id))
    return repository.list_members(connection, conversation_id, after_id, limit)


def _add_members(unit: UnitOfWork, user_id: str, conversation_id: str, user_ids: Sequence[str]) -> AddedMembers:
    place = _enter(unit, user_id, conversation_id)
    _require(place, "invite")
    present = repository.list_present_ids(unit.connection, conversation_id, user_ids)
    _check_friends(unit, user_id, user_ids, "user_ids", but=present)
    added = [invited for invited in user_ids if invited not in present]
    if not added:
        return AddedMembers(items=[])
    size = (place.member_count or 0) + len(added)
    if size > MAX_MEMBERS:
        raise GroupFull

    repository.put_members(unit.connection, place, added, now())
    repository.set_group(unit.connection, conversation_id, member_count=size)
    timeline.note(unit, place, "members_added", user_ids=added)
    _announce_created(unit, conversation_id, added)
    rows = repository.list_members_among(unit.connection, conversation_id, added)
    return AddedMembers(items=[_member(row) for row in rows])


def _check_friends(
    unit: UnitOfWork, user_id: str, invited: Sequence[str], field: str, but: frozenset[str] | set[str] = frozenset()
) -> None:
    """Check that the caller may invite these people, except those who need no invitation.

    Raises:
        ValidationFailed: one of them is the caller or not a friend of theirs; a closed account is nobody's friend.

    """
    friends = repository.list_friends_among(unit.connection, user_id, invited)
    refused = [
        (index, "that is you" if one == user_id else "is not your friend")
        for index, one in enumerate(invited)
        if one == user_id or one not in friends | but
    ]
    if refused:
        raise ValidationFailed(
            errors=[{"loc": ["body", field, index], "msg": msg} for index, msg in refused[:_MAX_ERRORS]]
        )


def _change_role(unit: UnitOfWork, user_id: str, conversation_id: str, member_id: str, role: Role) -> Member:
    place = _enter(unit, user_id, conversation_id)
    _require(place, "give and take admin")
    if member_id == user_id:
        raise OwnerMustHandOver
    member = _present(unit, conversation_id, member_id)
    if member.role != role:
        after = timeline.note(unit, place, "role_changed", user_ids=[member_id], role=role)
        repository.set_role(unit.connection, after, member_id, role)
        _announce_role(unit, place, member_id, role)
    return _member(_present(unit, conversation_id, member_id))


def _remove(unit: UnitOfWork, user_id: str, conversation_id: str, member_id: str) -> None:
    place = _enter(unit, user_id, conversation_id)
    is_leaving = member_id == user_id
    if is_leaving and not may(place.role, "leave"):
        raise OwnerMustHandOver
    if not is_leaving:
        _require(place, "remove a member")
        _check_may_remove(place, _present(unit, conversation_id, member_id).role)

    happening: Happening = "member_left" if is_leaving else "member_removed"
    after = timeline.note(unit, place, happening, user_ids=[member_id])
    repository.end_membership(unit.connection, after, member_id, now())
    repository.set_group(unit.connection, conversation_id, member_count=(place.member_count or 0) - 1)
    reason = "left" if is_leaving else "removed"
    _announce_change(unit, place, member_id, reason)
    leaver = UsersAudience(user_ids=[member_id])
    unit.announce(event("conversation.removed", leaver, conversation_id=conversation_id, reason=reason))


def _check_may_remove(place: Place, role: Role) -> None:
    if role not in _REMOVING or not may(place.role, _REMOVING[role]):
        raise NotPermitted


def _hand_over(unit: UnitOfWork, user_id: str, conversation_id: str, new_owner_id: str) -> Conversation:
    place = _enter(unit, user_id, conversation_id)
    _require(place, "hand over")
    if new_owner_id == user_id:
        return find_card(unit.connection, user_id, conversation_id)
    if repository.find_member(unit.connection, conversation_id, new_owner_id) is None:
        raise ValidationFailed.at(["body", "user_id"], "is not in the group")
    after = timeline.note(unit, place, "owner_changed", user_ids=[new_owner_id])
    repository.set_role(unit.connection, after, user_id, "admin")
    repository.set_role(unit.connection, after, new_owner_id, "owner")
    _announce_role(unit, place, user_id, "admin")
    _announce_role(unit, place, new_owner_id, "owner")
    return find_card(unit.connection, user_id, conversation_id)


def _announce_created(unit: UnitOfWork, conversation_id: str, user_ids: Sequence[str]) -> None:
    """Tell people that they are in the group now. To all of them it looks the same, so one event is for all."""
    seen = find_card(unit.connection, user_ids[0], conversation_id)
    unit.announce(event("conversation.created", UsersAudience(user_ids=list(user_ids)), conversation=seen))


def _announce_role(unit: UnitOfWork, place: Place, member_id: str, role: Role) -> None:
    _announce_change(unit, place, member_id, role)
    seen = find_card(unit.connection, member_id, place.conversation_id)
    unit.announce(event("conversation.updated", UsersAudience(user_ids=[member_id]), conversation=seen))


def _announce_change(unit: UnitOfWork, place: Place, member_id: str, change: str) -> None:
    unit.announce(
        event(
            "member.changed",
            ConversationAudience(conversation_id=place.conversation_id),
            conversation_id=place.conversation_id,
            user_id=member_id,
            change=change,
            by_user_id=place.user_id,
        )
    )


def _present(unit: UnitOfWork, conversation_id: str, member_id: str) -> sa.Row[Any]:
    row = repository.find_member(unit.connection, conversation_id, member_id)
    if row is None:
        raise MemberNotFound
    return row


def _member(row: sa.Row[Any]) -> Member:
    return Member(user=public_profile(row), role=row.role, joined_at=row.joined_at)
