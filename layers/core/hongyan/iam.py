"""Signing in to the stores by IAM: a request signed by the function's own role stands for the password.

So nothing is kept that could leak or would have to be changed. A signature is made here, without asking anybody, and
passes for 15 minutes for a new connection; open ones go on. Only over TLS: the server could use what it is shown.
"""

import ssl
from typing import TYPE_CHECKING, Any

import redis
import sqlalchemy as sa
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from hongyan import aws

if TYPE_CHECKING:
    from opensearchpy import Urllib3AWSV4SignerAuth

# The longest that RDS and ElastiCache accept (user guides, IAM authentication).
_TOKEN_SECONDS = 15 * 60


def sign_in_to_database(engine: sa.Engine) -> None:
    """Let each new connection of the engine show a token of its own, to a server whose certificate is verified.

    RDS Proxy has its certificate from Amazon Trust Services, whose roots every system trusts (RDS user guide, "Using
    TLS/SSL with RDS Proxy"). PyMySQL refuses a server without TLS once it is given a context.
    """
    url, trusted = engine.url, ssl.create_default_context()

    @sa.event.listens_for(engine, "do_connect")
    def show_token(_dialect: Any, _record: Any, _positional: Any, parameters: dict[str, Any]) -> None:
        parameters["password"] = database_token(url)
        parameters["ssl"] = trusted


def database_token(url: sa.URL) -> str:
    """Return what passes for the password of the URL's user.

    It is what boto3's ``generate_db_auth_token`` returns, without the tenth of a second that its client takes to make.
    """
    return _signed("rds-db", f"{url.host}:{url.port}", DBUser=str(url.username))


class CacheCredentials(redis.CredentialProvider):
    """The name of a user of ElastiCache, and what passes for their password, for each connection anew."""

    def __init__(self, cache_name: str, user: str) -> None:
        self._cache_name = cache_name
        self._user = user

    def get_credentials(self) -> tuple[str, str]:
        """Return both, as redis-py asks for them when it connects."""
        return self._user, _signed("elasticache", self._cache_name, User=self._user)


def search_signature() -> "Urllib3AWSV4SignerAuth":
    """Return what signs each request to an OpenSearch domain."""
    from opensearchpy import Urllib3AWSV4SignerAuth  # noqa: PLC0415  # most functions do not carry it

    return Urllib3AWSV4SignerAuth(aws.credentials(), aws.session().region_name, "es")


def _signed(service: str, host: str, **who: str) -> str:
    """Return the URL of a request to connect that is never sent, without its scheme: services take it as a password."""
    request = AWSRequest("GET", f"https://{host}/", params={"Action": "connect", **who})
    SigV4QueryAuth(aws.credentials(), service, aws.session().region_name, _TOKEN_SECONDS).add_auth(request)
    return str(request.url).removeprefix("https://")
