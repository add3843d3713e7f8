"""What is believed of where modules are, and for how long, by a clock that is moved by hand."""

from collections.abc import Sequence

import pytest
from botocore.exceptions import EndpointConnectionError
from hongyan.discovery import (
    ABSENT_SECONDS,
    FRESH_SECONDS,
    STALE_SECONDS,
    Attributes,
    Module,
    NotRegisteredError,
    Registry,
    RegistryUnreachableError,
)

ONE, OTHER = {"url": "https://one.example"}, {"url": "https://other.example"}


class CloudMap:
    """What is registered, whether it answers, and what was asked."""

    def __init__(self) -> None:
        self.instances: list[Attributes] = [ONE]
        self.answers = True
        self.asked: list[Module] = []
        self.seconds = 1_000.0

    def ask(self, module: Module) -> Sequence[Attributes]:
        self.asked.append(module)
        if not self.answers:
            raise EndpointConnectionError(endpoint_url="https://cloud-map.example")
        return list(self.instances)

    def clock(self) -> float:
        return self.seconds


@pytest.fixture
def cloud_map() -> CloudMap:
    return CloudMap()


@pytest.fixture
def registry(cloud_map: CloudMap) -> Registry:
    return Registry(cloud_map.ask, cloud_map.clock)


def test_what_was_found_is_used_until_it_is_old(cloud_map: CloudMap, registry: Registry) -> None:
    registry.attributes_of("user")
    cloud_map.instances = [OTHER]

    cloud_map.seconds += FRESH_SECONDS - 0.1
    assert registry.attributes_of("user") == ONE
    cloud_map.seconds += 0.1
    assert registry.attributes_of("user") == OTHER
    assert cloud_map.asked == ["user"] * 2


def test_modules_are_known_apart(cloud_map: CloudMap, registry: Registry) -> None:
    registry.attributes_of("user")
    cloud_map.instances = []

    with pytest.raises(NotRegisteredError):
        registry.attributes_of("file")
    assert registry.attributes_of("user") == ONE


def test_of_several_instances_each_has_its_turn(cloud_map: CloudMap, registry: Registry) -> None:
    cloud_map.instances = [ONE, OTHER]

    given = {registry.attributes_of("user")["url"] for _ in range(100)}

    assert given == {ONE["url"], OTHER["url"]}
    assert cloud_map.asked == ["user"]


def test_what_was_taken_out_is_not_used_when_cloud_map_says_so(cloud_map: CloudMap, registry: Registry) -> None:
    registry.attributes_of("user")
    cloud_map.instances = []

    cloud_map.seconds += FRESH_SECONDS
    with pytest.raises(NotRegisteredError):
        registry.attributes_of("user")


def test_that_nothing_is_registered_is_believed_shortly(cloud_map: CloudMap, registry: Registry) -> None:
    cloud_map.instances = []
    with pytest.raises(NotRegisteredError):
        registry.attributes_of("user")
    cloud_map.instances = [OTHER]

    cloud_map.seconds += ABSENT_SECONDS - 0.1
    with pytest.raises(NotRegisteredError):
        registry.attributes_of("user")
    cloud_map.seconds += 0.1
    assert registry.attributes_of("user") == OTHER
    assert cloud_map.asked == ["user"] * 2


def test_what_was_known_goes_on_while_cloud_map_is_out_of_reach(cloud_map: CloudMap, registry: Registry) -> None:
    registry.attributes_of("user")
    cloud_map.answers = False

    for _ in range(10):
        cloud_map.seconds += STALE_SECONDS
        assert registry.attributes_of("user") == ONE
    cloud_map.answers, cloud_map.instances = True, [OTHER]
    cloud_map.seconds += STALE_SECONDS
    assert registry.attributes_of("user") == OTHER


def test_who_does_not_answer_is_not_asked_by_every_call(cloud_map: CloudMap, registry: Registry) -> None:
    registry.attributes_of("user")
    cloud_map.answers = False

    cloud_map.seconds += FRESH_SECONDS
    for _ in range(10):
        registry.attributes_of("user")
    assert cloud_map.asked == ["user"] * 2


def test_without_an_answer_and_nothing_known_it_fails_and_asks_again_soon(
    cloud_map: CloudMap, registry: Registry
) -> None:
    cloud_map.answers = False
    with pytest.raises(RegistryUnreachableError):
        registry.attributes_of("user")

    cloud_map.answers = True
    cloud_map.seconds += ABSENT_SECONDS
    assert registry.attributes_of("user") == ONE


def test_one_time_out_is_waited_for_and_not_one_for_each_module(cloud_map: CloudMap, registry: Registry) -> None:
    cloud_map.answers = False
    modules: tuple[Module, ...] = ("user", "friend", "message")
    for module in modules:
        with pytest.raises(RegistryUnreachableError):
            registry.attributes_of(module)

    assert cloud_map.asked == ["user"]


def test_what_was_taken_out_does_not_come_back_by_an_outage(cloud_map: CloudMap, registry: Registry) -> None:
    registry.attributes_of("user")
    cloud_map.instances = []
    cloud_map.seconds += FRESH_SECONDS
    with pytest.raises(NotRegisteredError):
        registry.attributes_of("user")

    cloud_map.answers = False
    cloud_map.seconds += ABSENT_SECONDS
    with pytest.raises(RegistryUnreachableError):
        registry.attributes_of("user")
