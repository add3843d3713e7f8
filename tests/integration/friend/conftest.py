"""A group to begin with."""

from collections.abc import Callable

import pytest

from tests.support.deployment import Deployment
from tests.support.groups import Team, a_group
from tests.support.people import Person


@pytest.fixture
def team(person: Callable[[str], Person], deployment: Deployment) -> Team:
    """Alice owns a group with Bob and Carol."""
    alice, bob, carol = person("alice"), person("bob"), person("carol")
    group = a_group(alice, bob, carol)
    deployment.drain()
    return alice, bob, carol, group
