"""Who there is: people found by name, id or phone (contract, User)."""

from typing import Any

import sqlalchemy as sa
from hongyan import rate_limits
from hongyan.ids import is_id
from hongyan.pagination import Page, decode_cursor, encode_cursor
from hongyan.profiles import public_profile
from hongyan.sessions import Principal
from hongyan.unit_of_work import read

from functions.user import phones, repository, user_index
from functions.user.schemas import FoundUser, Relation

# Enough to search while one types, too few to try phone numbers one after the other.
SEARCHES_OF_ACCOUNT = rate_limits.at_most(120, 60, "searches-of-account")
SEARCHES_FROM_ADDRESS = rate_limits.at_most(1_200, 60, "searches-from-address")

# Who has blocked somebody is told to the search engine, so that pages stay full; further ones are left out after it.
_MOST_EXCLUDED = 1_000


def search(principal: Principal, text: str, cursor: str | None, limit: int, address: str) -> Page[FoundUser]:
    """Find people. An id or a phone that is somebody's finds them alone, without the search engine.

    Those who have blocked the caller are not found by name or phone; who knows an id has found them already.

    Raises:
        SearchUnavailable: the search engine is needed and does not answer.
        RateLimited: the caller, or the source address, searches too often; without Redis nobody does.

    """
    rate_limits.take_if_counted(SEARCHES_OF_ACCOUNT, principal.user_id)
    rate_limits.take_if_counted(SEARCHES_FROM_ADDRESS, rate_limits.subscriber(address))
    caller_id, wanted = principal.user_id, text.strip()
    if is_id(wanted):
        known = read(lambda connection: repository.find_people(connection, caller_id, [wanted]))
        return Page(items=[_found(row, caller_id) for row in known], next_cursor=None)
    if (phone := phones.normalised(wanted)) is not None:
        person = read(lambda connection: repository.find_person_by_phone(connection, caller_id, phone))
        if person is not None and not person.blocks_user:
            return Page(items=[_found(person, caller_id)], next_cursor=None)
    return _search_by_name(caller_id, wanted, cursor, limit)


def _search_by_name(caller_id: str, text: str, cursor: str | None, limit: int) -> Page[FoundUser]:
    question = f"user_search:{text}"  # a cursor goes on with the question it came from, and no other
    after = None if cursor is None else decode_cursor(question, caller_id, cursor)
    blockers = read(lambda connection: repository.list_blockers(connection, caller_id, _MOST_EXCLUDED))
    hits = user_index.search(text, after, limit + 1, blockers)
    shown = hits[:limit]
    rows = read(lambda connection: repository.find_people(connection, caller_id, [hit.id for hit in shown]))
    # The index may be behind: who has closed their account is no longer among the rows.
    people = {row.id: row for row in rows if not row.blocks_user}
    return Page(
        items=[_found(people[hit.id], caller_id) for hit in shown if hit.id in people],
        next_cursor=encode_cursor(question, caller_id, shown[-1].position) if len(hits) > limit else None,
    )


def _found(row: sa.Row[Any], caller_id: str) -> FoundUser:
    return FoundUser(**public_profile(row).model_dump(), relation=_relation(row, caller_id))


def _relation(row: sa.Row[Any], caller_id: str) -> Relation:
    if row.id == caller_id:
        return "self"
    ways: dict[Relation, bool] = {"blocked": row.is_blocked, "friend": row.is_friend}
    ways |= {"requested": row.was_requested, "incoming": row.has_requested}
    return next((relation for relation, is_so in ways.items() if is_so), "none")
