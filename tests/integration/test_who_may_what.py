"""Who may what: every endpoint and every relation to what it is about, each cell of one table tried."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.openapi import document
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, Response, request
from tests.support.groups import a_group, remove
from tests.support.people import PASSWORD, Person, a_device, a_text
from tests.support.template import load
from tests.support.uploads import a_picture, an_upload, completed

People = Callable[[str], Person]

# Who asks, in the order of the columns. The owner is whom or whose things it is about. The others are or were in the
# owner's group, and friends of the owner, but for the stranger, the removed friend (who was one) and the blocked (whom
# the owner has blocked): these two have a single with the owner. About a conversation: the group, or that single.
ROLES = ("anonymous", "stranger", "ex_member", "removed_friend", "blocked", "member", "admin", "owner")

OPEN = "200 200 200 200 200 200 200 200"
OWN = "401 200 200 200 200 200 200 200"
OWN_204 = "401 204 204 204 204 204 204 204"
MAY_WHAT = {
    # The user module. Open calls have the caller's own things in their bodies, whoever the caller is.
    "GET /v1/endpoints": OPEN,
    "GET /v1/health": OPEN,
    "POST /v1/users": "201 201 201 201 201 201 201 201",
    "POST /v1/verification-codes": "202 202 202 202 202 202 202 202",
    "POST /v1/password-resets": "422 422 422 422 422 422 422 422",
    "POST /v1/sessions": "401 401 401 401 401 401 401 201",
    "POST /v1/sessions/refresh": "401 401 401 401 401 401 401 200",
    "GET /v1/sessions": OWN,
    "DELETE /v1/sessions": OWN_204,
    "DELETE /v1/sessions/current": OWN_204,
    "DELETE /v1/sessions/{session_id}": "401 404 404 404 404 404 404 204",
    "GET /v1/users/me": OWN,
    "PATCH /v1/users/me": OWN,
    "DELETE /v1/users/me": "401 204 204 204 204 204 204 409",  # an owner hands over first
    "PUT /v1/users/me/avatar": "401 404 404 404 404 404 404 200",
    "PUT /v1/users/me/phone": "401 422 422 422 422 422 422 422",
    "PUT /v1/users/me/password": OWN_204,
    "POST /v1/users/batch-get": OWN,
    "GET /v1/users/search": OWN,
    "GET /v1/users/{user_id}": OWN,
    "POST /v1/ws-tickets": "401 201 201 201 201 201 201 201",
    # Friends and blocks.
    "POST /v1/friend-requests": "401 201 409 201 409 409 409 422",
    "GET /v1/friend-requests": OWN,
    "POST /v1/friend-requests/{request_id}/accept": "401 404 404 404 404 404 404 200",
    "POST /v1/friend-requests/{request_id}/reject": "401 404 404 404 404 404 404 200",
    "DELETE /v1/friend-requests/{request_id}": "401 404 404 404 404 404 404 404",
    "GET /v1/friends": OWN,
    "PATCH /v1/friends/{user_id}": "401 404 200 404 200 200 200 404",
    "DELETE /v1/friends/{user_id}": "401 404 204 404 204 204 204 404",
    "GET /v1/blocks": OWN,
    "PUT /v1/blocks/{user_id}": "401 204 204 204 204 204 204 422",
    "DELETE /v1/blocks/{user_id}": OWN_204,
    # Conversations and groups.
    "GET /v1/conversations": OWN,
    "POST /v1/conversations": "401 422 422 422 422 422 422 201",
    "GET /v1/conversations/{conversation_id}": "401 404 200 200 200 200 200 200",
    "PATCH /v1/conversations/{conversation_id}": "401 404 403 409 409 403 200 200",
    "DELETE /v1/conversations/{conversation_id}": "401 404 403 409 409 403 403 204",
    "PATCH /v1/conversations/{conversation_id}/settings": "401 404 200 200 200 200 200 200",
    "GET /v1/conversations/{conversation_id}/members": "401 404 403 409 409 200 200 200",
    "POST /v1/conversations/{conversation_id}/members": "401 404 403 409 409 422 422 200",
    "PATCH /v1/conversations/{conversation_id}/members/{user_id}": "401 404 403 409 409 403 403 200",
    "DELETE /v1/conversations/{conversation_id}/members/{user_id}": "401 404 403 409 409 403 403 204",
    "PUT /v1/conversations/{conversation_id}/owner": "401 404 403 409 409 403 403 200",
    # Messages.
    "POST /v1/conversations/{conversation_id}/messages": "401 404 403 403 403 201 201 201",
    "GET /v1/conversations/{conversation_id}/messages": "401 404 200 200 200 200 200 200",
    "GET /v1/messages/search": "401 404 200 200 200 200 200 200",
    "PUT /v1/conversations/{conversation_id}/read": "401 404 200 200 200 200 200 200",
    "GET /v1/sync": OWN,
    "POST /v1/exports": "401 202 202 202 202 202 202 200",
    "GET /v1/exports/{export_id}": "401 404 404 404 404 404 404 200",
    # One message: the owner's.
    "PATCH /v1/conversations/{conversation_id}/messages/{seq}": "401 404 403 403 403 403 403 200",
    "DELETE /v1/conversations/{conversation_id}/messages/{seq}": "401 404 204 204 204 204 204 204",
    "POST /v1/conversations/{conversation_id}/messages/{seq}/recall": "401 404 403 403 403 403 200 200",
    "POST /v1/conversations/{conversation_id}/messages/{seq}/forward": "401 404 422 422 422 201 201 201",
    "GET /v1/conversations/{conversation_id}/messages/{seq}/receipts": "401 404 200 200 200 200 200 200",
    "PUT /v1/conversations/{conversation_id}/messages/{seq}/reactions/{emoji}": "401 404 403 403 403 200 200 200",
    "DELETE /v1/conversations/{conversation_id}/messages/{seq}/reactions/{emoji}": "401 404 403 403 403 200 200 200",
    # Files. The owner's upload is a picture that is no avatar, and nobody was sent it.
    "POST /v1/files": "401 201 201 201 201 201 201 201",
    "POST /v1/files/batch-get": OWN,
    "GET /v1/files/{file_id}": "401 404 404 404 404 404 404 200",
    "GET /v1/files/{file_id}/upload": "401 404 404 404 404 404 404 404",  # it is complete
    "POST /v1/files/{file_id}/complete": "401 404 404 404 404 404 404 200",
    "PUT /v1/files/{file_id}/content": "401 404 404 404 404 404 404 200",
    "GET /v1/files/{file_id}/content": "401 404 404 404 404 404 404 200",
    "DELETE /v1/files/{file_id}": "401 404 404 404 404 404 404 204",
    # Speech. The owner's upload is a picture.
    "POST /v1/speech/recognitions": "401 404 404 404 404 404 404 422",
}

_numbers = itertools.count(random.randrange(10**6))


@dataclass
class World:
    """The owner, everybody else, and what the endpoints are about."""

    people: dict[str, Person]
    conversations: dict[str, str]
    seqs: dict[str, int]
    request_id: str
    file_id: str
    image_id: str
    export_id: str
    other_admin: Person
    new_friend: Person

    @classmethod
    def made(cls, person: People) -> "World":
        people = {role: person(role.replace("_", "-")) for role in ROLES[1:]}
        owner, other_admin, new_friend = people["owner"], person("other-admin"), person("new-friend")
        group_id = a_group(owner, *(people[role] for role in ("ex_member", "member", "admin")), other_admin)
        for admin in (people["admin"], other_admin):
            role = owner.patch(f"/v1/conversations/{group_id}/members/{admin.id}", {"role": "admin"})
            assert role.status == 200
        owner.befriend(new_friend)
        seqs = {group_id: owner.say(group_id, "hello all").json["seq"]}
        assert remove(owner, group_id, people["ex_member"]).status == 204
        singles = {role: owner.befriend(people[role]) for role in ("removed_friend", "blocked")}
        for single in singles.values():
            seqs[single] = owner.say(single, "hello you").json["seq"]
        owner.delete(f"/v1/friends/{people['removed_friend'].id}")
        owner.put(f"/v1/blocks/{people['blocked'].id}")
        conversations = dict.fromkeys(ROLES, group_id) | singles
        request_id, export_id = person("asker").ask(owner), owner.post("/v1/exports").json["id"]
        image_id = completed(owner, a_picture(), purpose="image")["id"]
        return cls(
            people, conversations, seqs, request_id, an_upload(owner), image_id, export_id, other_admin, new_friend
        )

    def ask(self, endpoint: str, role: str) -> Response:
        method, _, path = endpoint.partition(" ")
        caller = self.people.get(role)
        for name, value in self.things(role, endpoint).items():
            path = path.replace(f"{{{name}}}", value)
        queries = {
            "GET /v1/friend-requests": "?direction=incoming",
            "GET /v1/users/search": f"?q={self.owner.id}",
            "GET /v1/messages/search": f"?q=hello&conversation_id={self.conversations[role]}",
        }
        token = None if caller is None else caller.token
        body = self.body(endpoint, role, caller)
        return request(method, path + queries.get(endpoint, ""), body=body, token=token)

    @property
    def owner(self) -> Person:
        return self.people["owner"]

    def things(self, role: str, endpoint: str) -> dict[str, str]:
        about_member = "/members/" in endpoint
        return {
            "file_id": self.image_id,
            "session_id": self.owner.session_id,
            "export_id": self.export_id,
            "request_id": self.request_id,
            "conversation_id": self.conversations[role],
            "seq": str(self.seqs[self.conversations[role]]),
            "emoji": "%F0%9F%91%8D",
            # About a member: another admin, whom only the owner may change or remove.
            "user_id": self.other_admin.id if about_member else self.owner.id,
        }

    def body(self, endpoint: str, role: str, caller: Person | None) -> Any:
        is_owner = caller is self.owner
        proof = {"phone": f"+86135{next(_numbers):08}", "code_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "code": "123456"}
        bodies: dict[str, Callable[[], Any]] = {
            "POST /v1/users": lambda: {"username": f"new-{next(_numbers)}", "password": PASSWORD},
            "POST /v1/verification-codes": lambda: {"phone": proof["phone"], "purpose": "login"},
            "POST /v1/password-resets": lambda: {**proof, "new_password": PASSWORD},
            "POST /v1/sessions": lambda: {
                "username": self.owner.username,
                "password": PASSWORD if is_owner else "not the password",
                "device": a_device(),
            },
            "POST /v1/sessions/refresh": lambda: {"refresh_token": self.owner.refresh_token if is_owner else "none"},
            "PATCH /v1/users/me": lambda: {"nickname": "new"},
            "PUT /v1/users/me/avatar": lambda: {"file_id": self.file_id},
            "PUT /v1/users/me/phone": lambda: proof,
            "PUT /v1/users/me/password": lambda: {"old_password": PASSWORD, "new_password": "another good password"},
            "POST /v1/users/batch-get": lambda: {"ids": [self.owner.id]},
            "POST /v1/friend-requests": lambda: {"user_id": self.owner.id},
            "PATCH /v1/friends/{user_id}": lambda: {"remark": "boss"},
            "POST /v1/conversations": lambda: {
                "name": "new",
                "member_ids": [self.people["member"].id, self.new_friend.id],
            },
            "PATCH /v1/conversations/{conversation_id}": lambda: {"name": f"named by {role}"},
            "PATCH /v1/conversations/{conversation_id}/settings": lambda: {"muted": True},
            "POST /v1/conversations/{conversation_id}/members": lambda: {"user_ids": [self.new_friend.id]},
            "PATCH /v1/conversations/{conversation_id}/members/{user_id}": lambda: {"role": "member"},
            "PUT /v1/conversations/{conversation_id}/owner": lambda: {"user_id": self.other_admin.id},
            "POST /v1/files": lambda: {
                "name": "a.txt",
                "mime": "text/plain",
                "size": 1,
                "sha256": "0" * 64,
                "purpose": "file",
            },
            "POST /v1/files/batch-get": lambda: {"ids": [self.image_id]},
            "PUT /v1/files/{file_id}/content": dict,
            "POST /v1/speech/recognitions": lambda: {"file_id": self.file_id},
            "POST /v1/conversations/{conversation_id}/messages": lambda: a_text("hello"),
            "PUT /v1/conversations/{conversation_id}/read": lambda: {"seq": 1},
            "PATCH /v1/conversations/{conversation_id}/messages/{seq}": lambda: {"content": {"text": "edited"}},
            "POST /v1/conversations/{conversation_id}/messages/{seq}/forward": lambda: {
                "client_id": "f-1",
                "conversation_ids": [self.conversations[role]],
            },
        }
        return bodies[endpoint]() if endpoint in bodies else None


def endpoints() -> Iterator[str]:
    for path, operations in document()["paths"].items():
        yield from (f"{method.upper()} {path}" for method in operations)


def test_the_table_names_every_endpoint_and_no_other() -> None:
    assert sorted(MAY_WHAT) == sorted(endpoints())
    assert {len(row.split()) for row in MAY_WHAT.values()} == {len(ROLES)}


@pytest.mark.parametrize("endpoint", MAY_WHAT)
@pytest.mark.usefixtures("bucket")
def test_everybody_may_what_the_table_says(deployment: Deployment, person: People, endpoint: str) -> None:
    """One world an endpoint: whoever may least asks first, so what is refused changes nothing for the next."""
    load("functions.message.reindex.handler")({}, LambdaContext())  # without an index searching is a 503
    world = World.made(person)

    answers = {role: world.ask(endpoint, role) for role in ROLES}

    assert " ".join(str(answer.status) for answer in answers.values()) == MAY_WHAT[endpoint], {
        role: answer.text[:200] for role, answer in answers.items()
    }
    for answer in answers.values():
        assert answer.status < 400 or answer.code
