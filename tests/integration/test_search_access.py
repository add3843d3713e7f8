"""What functions ask of the search engine is what their roles may ask in AWS, no more and no less."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pytest
from hongyan import stores

from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext, request
from tests.support.people import Person
from tests.support.template import load, resources

People = Callable[[str], Person]


class Asked(NamedTuple):
    """A request to the search engine."""

    method: str
    path: str


class Allowed(NamedTuple):
    """A kind of request that a role may make: one action, and the paths it is for."""

    action: str
    paths: str

    def covers(self, asked: Asked) -> bool:
        return self.action == f"es:ESHttp{asked.method.capitalize()}" and fnmatchcase(asked.path, self.paths)


@contextmanager
def noting() -> Iterator[set[Asked]]:
    """Note what the search engine is asked."""
    asked: set[Asked] = set()
    transport = stores.search_client().transport
    perform = transport.perform_request

    def note(method: str, url: str, *arguments: Any, **named: Any) -> Any:
        asked.add(Asked(method, url))
        return perform(method, url, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "perform_request", note)
        yield asked


def rights(function: str) -> set[Allowed]:
    """Return what the template lets the role of a function ask."""
    return {
        Allowed(action, statement["Resource"]["Sub"].removeprefix("${Stores.Outputs.SearchArn}"))
        for policy in resources("AWS::IAM::Policy").values()
        if {"Ref": f"{function}Role"} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if action.startswith("es:")
    }


def assert_needs(function: str, asked: set[Asked]) -> None:
    """Check that the role of a function allows what was asked, and nothing that was not."""
    allowed = rights(function)

    assert {one for one in asked if not any(right.covers(one) for right in allowed)} == set()
    assert {right for right in allowed if not any(right.covers(one) for one in asked)} == set()


@pytest.fixture
def something_said(person: People, deployment: Deployment) -> Person:
    """Let there be people, and messages that they wrote."""
    alice, bob = person("alice"), person("bob")
    alice.say(alice.befriend(bob), "hello")
    return alice


@pytest.mark.parametrize("of", ["user", "message"])
def test_making_an_index_anew_takes_what_its_role_may(something_said: Person, of: str) -> None:
    """Twice: the second finds a first to replace."""
    handler = load(f"functions.{of}.reindex.handler")

    with noting() as asked:
        handler({"rebuild": True}, LambdaContext())
        handler({"rebuild": True}, LambdaContext())
        handler({}, LambdaContext())

    assert_needs(f"{of.capitalize()}ReindexFunction", asked)


def test_indexing_people_takes_what_its_role_may(something_said: Person, deployment: Deployment) -> None:
    with noting() as asked:
        assert deployment.indexing.work() == []

    assert_needs("UserIndexFunction", asked)


def test_indexing_messages_takes_what_its_role_may(something_said: Person, deployment: Deployment) -> None:
    with noting() as asked:
        assert deployment.message_indexing.work() == []

    assert_needs("MessageIndexFunction", asked)


def test_searching_people_and_asking_for_health_takes_what_its_role_may(something_said: Person) -> None:
    with noting() as asked:
        assert something_said.get("/v1/users/search?q=bob").status == 200
        assert request("GET", "/v1/health").status == 200

    assert_needs("UserApiFunction", asked)


def test_searching_messages_takes_what_its_role_may(something_said: Person) -> None:
    with noting() as asked:
        assert something_said.get("/v1/messages/search?q=hello").status == 200

    assert_needs("MessageSearchFunction", asked)
