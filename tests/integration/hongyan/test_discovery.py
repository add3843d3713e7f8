"""An instance is taken out of Cloud Map: who needs it goes to another one, or says clearly that there is none."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from hongyan import aws, discovery
from hongyan.discovery import ABSENT_SECONDS, FRESH_SECONDS, MODULES

from tests.support.deployment import Deployment
from tests.support.gateway import request
from tests.support.people import Person

People = Callable[[str], Person]


class Registered:
    """The instances of the deployment in Cloud Map, and the functions' clock."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self._cloud_map = boto3.client("servicediscovery")
        self._ids = {service["Name"]: service["Id"] for service in self._cloud_map.list_services()["Services"]}
        self._attributes = {module: self._attributes_of(module) for module in self._ids}

    def take_out(self, module: str, instance: str = "live") -> None:
        self._cloud_map.deregister_instance(ServiceId=self._ids[module], InstanceId=instance)

    def put_in(self, module: str, instance: str = "live", **changed: str) -> None:
        attributes = self._attributes[module] | changed
        self._cloud_map.register_instance(ServiceId=self._ids[module], InstanceId=instance, Attributes=attributes)

    def reset(self) -> None:
        for module, service_id in self._ids.items():
            for instance in self._cloud_map.list_instances(ServiceId=service_id)["Instances"]:
                self.take_out(module, instance["Id"])
            self.put_in(module)

    def clock(self) -> float:
        return self.seconds

    def _attributes_of(self, module: str) -> dict[str, str]:
        [instance] = self._cloud_map.list_instances(ServiceId=self._ids[module])["Instances"]
        return instance["Attributes"]


@pytest.fixture
def registered(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registered]:
    registered = Registered()
    monkeypatch.setattr(discovery._registry, "_clock", registered.clock)
    discovery.forget()
    yield registered
    registered.reset()
    monkeypatch.undo()
    discovery.forget()


def unavailable(path: str) -> bool:
    answer = request("GET", path)
    return (answer.status, answer.code, answer.headers["retry-after"]) == (503, "service_unavailable", "1")


def test_an_instance_that_is_taken_out_fails_clearly_until_another_is_registered(registered: Registered) -> None:
    before = request("GET", "/v1/endpoints").json
    registered.take_out("ws_connect")

    assert request("GET", "/v1/endpoints").json == before
    registered.seconds += FRESH_SECONDS
    assert unavailable("/v1/endpoints")

    registered.put_in("ws_connect", "other", url="wss://other.example/live")
    registered.seconds += ABSENT_SECONDS
    assert request("GET", "/v1/endpoints").json["websocket_url"] == "wss://other.example/live"


def test_of_two_instances_the_one_that_stays_is_used(registered: Registered) -> None:
    registered.put_in("ws_connect", "other", url="wss://other.example/live")
    registered.take_out("ws_connect")

    given = {request("GET", "/v1/endpoints").json["websocket_url"] for _ in range(5)}

    assert given == {"wss://other.example/live"}


def test_a_ticket_without_a_socket_to_open_is_refused(registered: Registered, person: People) -> None:
    alice = person("alice")
    registered.take_out("ws_connect")

    answer = alice.post("/v1/ws-tickets")

    assert (answer.status, answer.code) == (503, "service_unavailable")


def test_health_tells_which_modules_are_registered(registered: Registered) -> None:
    registered.take_out("speech")

    health = request("GET", "/v1/health")

    assert health.status == 200
    assert health.json["modules"] == dict.fromkeys(MODULES, "ok") | {"speech": "unavailable"}


def test_while_cloud_map_is_out_of_reach_what_it_said_last_goes_on(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = request("GET", "/v1/endpoints").json
    nowhere: Any = boto3.client("servicediscovery", endpoint_url="http://127.0.0.1:1")
    monkeypatch.setattr(aws, "service_discovery", lambda: nowhere)

    registered.seconds += FRESH_SECONDS
    assert request("GET", "/v1/endpoints").json == before
    discovery.forget()
    assert unavailable("/v1/endpoints")


def test_a_push_that_cannot_tell_where_sockets_are_is_done_when_it_can(
    registered: Registered, deployment: Deployment, person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = person("alice"), person("bob")
    conversation_id = alice.befriend(bob)
    screen = bob.connect()
    deployment.push()
    alice.say(conversation_id, "are you there?")
    [record] = deployment.queued()
    monkeypatch.setattr("functions.message.push._push_riding_out.retry.stop", lambda _: True)  # no time to wait

    registered.take_out("ws_connect")
    registered.seconds += FRESH_SECONDS
    assert deployment.invoke_push([record]) == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}

    registered.put_in("ws_connect", "other")
    registered.seconds += ABSENT_SECONDS
    assert deployment.invoke_push([record]) == {"batchItemFailures": []}
    assert [event["type"] for event in screen.events if event["type"] == "message.created"] == ["message.created"]
