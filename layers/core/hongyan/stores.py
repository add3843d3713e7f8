"""Where the data stores are, and the connections to them that an environment keeps."""

import importlib
import importlib.util
from functools import cache
from typing import TYPE_CHECKING

import redis
import sqlalchemy
from pydantic import BaseModel
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from snapshot_restore_py import register_before_snapshot

from hongyan import aws
from hongyan.settings import settings

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

_LOCK_WAIT_SECONDS = 5
_ANSWER_SECONDS = 7  # below every function's own limit


class IamUser(BaseModel):
    """As whom, and where, IAM lets functions into the cache. For the database, its URL says both."""

    cache_name: str
    cache_user: str


class StoreAddresses(BaseModel):
    """The secret that the template keeps: three URLs.

    Either they hold user and password of each store, or ``iam`` is there and everybody signs in by IAM
    (:mod:`hongyan.iam`): in AWS, with the stores that the template makes.
    """

    database_url: str
    redis_url: str
    opensearch_url: str
    iam: IamUser | None = None


@cache
def addresses() -> StoreAddresses:
    """Read the stores' addresses from Secrets Manager, once per environment."""
    answer = aws.secrets_manager().get_secret_value(SecretId=settings().stores_secret_arn)
    return StoreAddresses.model_validate_json(answer["SecretString"])


@cache
def engine() -> sqlalchemy.Engine:
    """Return the engine of the database, for its user who may read and write rows and nothing else."""
    return open_database(addresses().database_url, answer_seconds=_ANSWER_SECONDS)


def open_database(url: str, *, answer_seconds: int) -> sqlalchemy.Engine:
    """Return an engine for the user of a URL.

    An environment serves one event at a time, so one connection is enough. ``pool_pre_ping`` finds the connection that
    died with a restarted server before a statement is lost on it.

    Args:
        url: the database and its user, with a password if one does not sign in by IAM.
        answer_seconds: how long to wait for the answer to a statement.

    """
    engine = sqlalchemy.create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=1,
        max_overflow=1,
        pool_timeout=5,  # for threads that take turns: as all else, below every function's own
        pool_pre_ping=True,
        hide_parameters=True,  # a statement that fails is logged: its phones and hashes are not
        connect_args={
            "connect_timeout": 2,
            "read_timeout": answer_seconds,
            "write_timeout": answer_seconds,
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {_LOCK_WAIT_SECONDS}",
        },
    )
    if addresses().iam is not None:
        from hongyan import iam  # noqa: PLC0415  # nobody else needs it

        iam.sign_in_to_database(engine)
    return engine


@cache
def cache_client() -> "redis.Redis":
    """Return the client of Redis. It answers or fails within about a second: everything in it can be done without."""
    return redis.Redis.from_url(
        addresses().redis_url,
        credential_provider=_cache_credentials(),
        decode_responses=True,
        socket_connect_timeout=0.5,
        socket_timeout=1.0,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.02), retries=2),
        health_check_interval=30,
    )


@cache
def search_client() -> "OpenSearch":
    """Return the client of OpenSearch, imported where it is used: its import costs a cold start 0.2 s."""
    from opensearchpy import OpenSearch  # noqa: PLC0415  # as said above

    signature = None
    if addresses().iam is not None:
        from hongyan import iam  # noqa: PLC0415  # as above

        signature = iam.search_signature()
    return OpenSearch(hosts=[addresses().opensearch_url], http_auth=signature, timeout=2, max_retries=0)


def _cache_credentials() -> redis.CredentialProvider | None:
    user = addresses().iam
    if user is None:
        return None
    from hongyan import iam  # noqa: PLC0415  # as above

    return iam.CacheCredentials(user.cache_name, user.cache_user)


def forget() -> None:
    """Close every connection and forget where the stores are, before a snapshot (SnapStart) is taken.

    Its copies would share a connection, and would not hear that a password was changed. What is otherwise imported at
    the first call is imported now, if the function has it at all.
    """
    if engine.cache_info().currsize:
        engine().dispose()
    if cache_client.cache_info().currsize:
        cache_client().close()
    if search_client.cache_info().currsize:
        search_client().close()
    for kept in (addresses, engine, cache_client, search_client):
        kept.cache_clear()
    if importlib.util.find_spec("opensearchpy"):
        importlib.import_module("opensearchpy")


register_before_snapshot(forget)
