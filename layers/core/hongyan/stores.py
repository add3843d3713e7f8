"""Where the data stores are, and the connections to them that an environment keeps."""

from functools import cache
from typing import TYPE_CHECKING

import redis
import sqlalchemy
from pydantic import BaseModel
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from hongyan import aws
from hongyan.settings import settings

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

_LOCK_WAIT_SECONDS = 5


class StoreAddresses(BaseModel):
    """The secret that the template keeps: three URLs, credentials included."""

    database_url: str
    redis_url: str
    opensearch_url: str


@cache
def addresses() -> StoreAddresses:
    """Read the stores' addresses from Secrets Manager, once per environment."""
    answer = aws.secrets_manager().get_secret_value(SecretId=settings().stores_secret_arn)
    return StoreAddresses.model_validate_json(answer["SecretString"])


@cache
def engine() -> sqlalchemy.Engine:
    """Return the engine of the database.

    An environment serves one event at a time, so one connection is enough. ``pool_pre_ping`` finds the connection that
    died with a restarted server before a statement is lost on it. The time-outs are below those of every function.
    """
    return sqlalchemy.create_engine(
        addresses().database_url,
        isolation_level="READ COMMITTED",
        pool_size=1,
        max_overflow=1,
        pool_timeout=5,  # for threads that take turns: as all else, below every function's own
        pool_pre_ping=True,
        hide_parameters=True,  # a statement that fails is logged: its phones and hashes are not
        connect_args={
            "connect_timeout": 2,
            "read_timeout": 7,
            "write_timeout": 7,
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {_LOCK_WAIT_SECONDS}",
        },
    )


@cache
def cache_client() -> "redis.Redis":
    """Return the client of Redis. It answers or fails within about a second: everything in it can be done without."""
    return redis.Redis.from_url(
        addresses().redis_url,
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

    return OpenSearch(hosts=[addresses().opensearch_url], timeout=2, max_retries=0)
