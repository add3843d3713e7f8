"""The sockets' management endpoint, `@connections` of API Gateway."""

from functools import cache
from typing import TYPE_CHECKING

from botocore.config import Config

from hongyan import aws, discovery

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

CALLS_AT_ONCE = 16
# A call takes no longer, and is not made again by itself: who calls has a better time to try again.
CALL_SECONDS = 3


def client() -> "ApiGatewayManagementApiClient":
    """Return the client of the endpoint that this deployment's sockets are behind."""
    return _client(discovery.attributes_of("ws_connect")["management_url"])


@cache
def _client(management_url: str) -> "ApiGatewayManagementApiClient":
    config = Config(
        connect_timeout=1,
        read_timeout=CALL_SECONDS - 1,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=CALLS_AT_ONCE,
    )
    return aws.session().client("apigatewaymanagementapi", endpoint_url=management_url, config=config)
