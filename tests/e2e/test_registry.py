"""The deployed registry: every module is in it, and one that is taken out is missed clearly until it is in again."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.config import Config
from hongyan.discovery import FRESH_SECONDS, MODULES
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from local.deploy import STACK, account
from local.stack import Stack
from tests.e2e.conftest import Join
from tests.e2e.test_gateway import problem

if TYPE_CHECKING:
    from mypy_boto3_servicediscovery import ServiceDiscoveryClient

_POLL_SECONDS = 0.5
_LEEWAY_SECONDS = 10  # for the machine; the functions keep to the registry's times


@pytest.fixture
def cloud_map(stack: Stack) -> "ServiceDiscoveryClient":
    return account().client(
        "servicediscovery", endpoint_url=stack.aws_endpoint_url, config=Config(inject_host_prefix=False)
    )


@pytest.fixture
def sockets(cloud_map: "ServiceDiscoveryClient") -> Iterator[tuple[str, dict[str, str]]]:
    """Hand out the id of the service and the attributes of its instance, which is put back at the end."""
    # Beside that of the deployment there is one for `sam local`.
    [namespace_id] = [n["Id"] for n in cloud_map.list_namespaces()["Namespaces"] if n["Name"] == STACK]
    [service_id] = [
        service["Id"]
        for service in cloud_map.list_services()["Services"]  # the emulator knows no filter
        if service["Name"] == "ws_connect"
        and cloud_map.get_service(Id=service["Id"])["Service"]["NamespaceId"] == namespace_id
    ]
    [instance] = cloud_map.list_instances(ServiceId=service_id)["Instances"]
    yield service_id, instance["Attributes"]
    for other in cloud_map.list_instances(ServiceId=service_id)["Instances"]:
        cloud_map.deregister_instance(ServiceId=service_id, InstanceId=other["Id"])
    cloud_map.register_instance(ServiceId=service_id, InstanceId=instance["Id"], Attributes=instance["Attributes"])


async def until(
    http: httpx.AsyncClient, request: httpx.Request, holds: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """Ask until the answer is as it shall be, which each worker of a function comes to in its own time."""
    return await AsyncRetrying(
        retry=retry_if_result(lambda answer: not holds(answer)),
        wait=wait_fixed(_POLL_SECONDS),
        stop=stop_after_delay(FRESH_SECONDS + _LEEWAY_SECONDS),
    )(http.send, request)


def test_every_module_is_found_with_its_address_and_a_function_that_is_there(
    stack: Stack, cloud_map: "ServiceDiscoveryClient"
) -> None:
    functions = account().client("lambda", endpoint_url=stack.aws_endpoint_url)

    for module in MODULES:
        [instance] = cloud_map.discover_instances(NamespaceName=STACK, ServiceName=module)["Instances"]
        attributes = instance["Attributes"]
        configuration = functions.get_function_configuration(FunctionName=attributes["function"])
        assert configuration["Handler"].startswith(f"functions.{module}.")
        expected = stack.endpoints.websocket_url if module == "ws_connect" else stack.endpoints.rest_url
        assert attributes["url"] == expected


async def test_sockets_that_are_taken_out_are_missed_clearly_and_found_again_under_another_instance(
    http: httpx.AsyncClient,
    join: Join,
    cloud_map: "ServiceDiscoveryClient",
    sockets: tuple[str, dict[str, str]],
) -> None:
    service_id, attributes = sockets
    session = (await join("alice")).client.session
    assert session is not None
    headers = {"Authorization": f"Bearer {session.access_token}"}
    endpoints = http.build_request("GET", "/v1/endpoints")
    health = http.build_request("GET", "/v1/health")
    ticket = http.build_request("POST", "/v1/ws-tickets", headers=headers)

    cloud_map.deregister_instance(ServiceId=service_id, InstanceId="live")
    for request in (endpoints, ticket):
        refused = await until(http, request, lambda answer: answer.status_code == httpx.codes.SERVICE_UNAVAILABLE)
        assert (problem(refused), refused.headers["retry-after"]) == ("service_unavailable", "1")
    told = await until(http, health, lambda answer: answer.json()["modules"]["ws_connect"] == "unavailable")
    assert (told.status_code, told.json()["modules"]) == (
        httpx.codes.OK,
        {module: "unavailable" if module == "ws_connect" else "ok" for module in MODULES},
    )

    other = attributes | {"url": attributes["url"].replace("127.0.0.1", "localhost")}  # the same place by another name
    cloud_map.register_instance(ServiceId=service_id, InstanceId="other", Attributes=other)
    found = await until(http, endpoints, lambda answer: answer.is_success)
    assert found.json()["websocket_url"] == other["url"]
    found = await until(http, ticket, lambda answer: answer.is_success)
    assert found.json()["url"] == other["url"]
