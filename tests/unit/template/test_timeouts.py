"""Whoever waits longer than whom: client, API, function, store (docs/limits.md has the table)."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from botocore.config import Config
from hongyan import aws, connections, management, search_index, stores, unit_of_work
from hongyan.stores import StoreAddresses
from hongyan_client import api as client
from hongyan_client.live import Pace

from functions.message import delivery, push
from functions.speech import recognition
from functions.user import sms
from tests.support.template import TEMPLATE, resources, template

FUNCTIONS = resources("AWS::Serverless::Function")
OF_ALL = template()["Globals"]["Function"]["Timeout"]
# AWS quota: the longest that API Gateway waits for a function, and what it waits unless it is told otherwise.
GATEWAY = 29

NOWHERE = StoreAddresses(
    database_url="mysql+pymysql://u:p@nowhere/h", redis_url="redis://nowhere", opensearch_url="http://nowhere"
)
BACKOFF = 1.0  # botocore's standard mode: at most a second before the second try


def timeout(function: str) -> int:
    limit: int = FUNCTIONS[function].get("Timeout", OF_ALL)
    return limit


def fed_by(kind: str) -> list[str]:
    return [
        name
        for name, function in FUNCTIONS.items()
        if any(source["Type"] == kind for source in function.get("Events", {}).values())
    ]


def layers_of(function: str) -> set[str]:
    return {layer["Ref"] for layer in FUNCTIONS[function].get("Layers", [])}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients be made of stores that are nowhere, and forgotten."""
    monkeypatch.setattr(stores, "addresses", lambda: NOWHERE)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def database(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return how the database's driver is told to wait."""
    made: dict[str, Any] = {}
    make: Callable[..., sqlalchemy.Engine] = sqlalchemy.create_engine

    def create_engine(url: str, **options: Any) -> sqlalchemy.Engine:
        made.update(options["connect_args"])
        return make(url, **options)

    monkeypatch.setattr(sqlalchemy, "create_engine", create_engine)
    stores.engine.__wrapped__()
    return made


@pytest.fixture
def statement(database: dict[str, Any]) -> float:
    """Return the longest that a connection and a statement take together, in seconds."""
    longest: float = database["connect_timeout"] + max(database["read_timeout"], database["write_timeout"])
    return longest


def longest_call(config: Config) -> float:
    """Return the longest that a call of an AWS client takes, with its tries."""
    options: Any = config  # which boto makes attributes of as it goes
    tries: int = options.retries["total_max_attempts"]
    longest: float = tries * (options.connect_timeout + options.read_timeout) + (tries - 1) * BACKOFF
    return longest


def test_a_client_of_rest_outwaits_the_authorizer_and_the_gateway() -> None:
    assert client._TIMEOUT.read is not None
    assert client._TIMEOUT.read > timeout("UserAuthorizerFunction") + GATEWAY


def test_the_gateway_outwaits_every_function_of_rest() -> None:
    assert fed_by("Api")
    for function in [*fed_by("Api"), "UserAuthorizerFunction", "WsConnectAuthorizerFunction"]:
        assert timeout(function) < GATEWAY, function


def test_a_client_of_sockets_outwaits_the_gateway_and_the_gateway_every_function_of_a_route() -> None:
    routes = template()["Resources"]["SocketApi"]["Properties"]["Routes"]

    for name, route in routes.items():
        function = route["FunctionArn"]["Ref"].removesuffix(".Alias")
        assert timeout(function) < route["IntegrationTimeout"] / 1000 < Pace().answer_timeout, name
    assert Pace().answer_timeout < Pace().open_timeout < Pace().give_up


def test_a_connection_is_taken_for_opening_as_long_as_the_gateway_waits_for_its_function() -> None:
    connect = template()["Resources"]["SocketApi"]["Properties"]["Routes"]["$connect"]

    assert connect["IntegrationTimeout"] / 1000 <= connections._OPENING_SECONDS


@pytest.fixture
def cached(elsewhere: None) -> float:
    """Return the longest that a call of Redis takes, with its tries."""
    options = stores.cache_client.__wrapped__().connection_pool.connection_kwargs
    retries: int = options["retry"]._retries
    attempt: float = options["socket_connect_timeout"] + options["socket_timeout"]
    return (1 + retries) * attempt + retries * float(options["retry"]._backoff._cap)


@pytest.fixture
def searched(elsewhere: None) -> float:
    """Return the longest that a search takes: to connect, and to answer."""
    [host] = stores.search_client.__wrapped__().transport.connection_pool.connections
    return 2 * float(host.timeout)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_outwaits_the_database_redis_and_aws(function: str, statement: float, cached: float) -> None:
    assert max(statement, cached, longest_call(aws._TIMEOUTS)) < timeout(function)


def test_a_function_outwaits_a_transaction_that_is_tried_again(statement: float) -> None:
    transacting = set(FUNCTIONS) - {"UserIndexFunction", "MessageIndexFunction"}  # which only read

    for function in transacting:
        assert unit_of_work._NO_NEW_TRY_AFTER_SECONDS + statement < timeout(function), function


def test_the_database_gives_a_lock_up_before_the_driver_gives_the_database_up(database: dict[str, Any]) -> None:
    assert database["read_timeout"] > stores._LOCK_WAIT_SECONDS


def test_functions_of_files_outwait_s3() -> None:
    for function in FUNCTIONS:
        if "s3:" in str(FUNCTIONS[function].get("Policies")):
            assert longest_call(aws._SIGNED_LINKS) < timeout(function), function


def test_a_function_that_searches_outwaits_the_search_engine(searched: float) -> None:
    searching = [function for function in FUNCTIONS if "SearchLayer" in layers_of(function)]

    assert searching
    for function in searching:
        longest = max(searched, 2 * search_index._WRITE_SECONDS if "Index" in function else 0)
        assert longest < timeout(function), function
    for function in ("UserReindexFunction", "MessageReindexFunction"):
        assert timeout(function) > 2 * search_index._MANAGEMENT_SECONDS


def test_the_push_outwaits_a_store_that_it_rides_out_and_a_socket_that_hangs(statement: float) -> None:
    for function in ("MessagePushFunction", "MessageShardFunction", "MessageRetryFunction"):
        assert push._RIDE_OUT_SECONDS + statement < timeout(function)
        assert timeout(function) > (
            delivery._BEGIN_WITHIN_SECONDS + delivery._OPENS_WITHIN_SECONDS + management.CALL_SECONDS
        )


def test_sending_a_code_outwaits_the_vendor() -> None:
    assert (sms._RUNTIME.connect_timeout + sms._RUNTIME.read_timeout) / 1000 < timeout("UserCodesFunction")


def test_recognising_outwaits_the_vendor_with_its_tries() -> None:
    one = (recognition._CONNECT_MS + recognition._READ_MS) / 1000
    all_tries = recognition._NO_NEW_TRY_AFTER_SECONDS + 2 + one  # 2: the longest pause between two

    assert all_tries < timeout("SpeechApiFunction")
    assert 2 * all_tries < timeout("SpeechTranscribeFunction")  # Mandarin, and then English


def test_the_table_of_the_document_says_what_the_code_does(statement: float, cached: float, searched: float) -> None:
    document = (TEMPLATE.parent / "docs" / "limits.md").read_text()
    rows = {
        "the client, for a request": client._TIMEOUT.read,
        "API Gateway, for a function of REST": GATEWAY,
        "the client, for a frame": Pace().answer_timeout,
        "the longest function of REST": max(timeout(function) for function in fed_by("Api")),
        "a function of a frame": timeout("MessageSocketFunction"),
        "the authorizers": timeout("UserAuthorizerFunction"),
        "a transaction, with new tries after deadlocks": unit_of_work._NO_NEW_TRY_AFTER_SECONDS + statement,
        "a statement, with its connection": statement,
        "a lock in the database": stores._LOCK_WAIT_SECONDS,
        "Redis, with two new tries": cached,
        "SNS, SQS, Secrets Manager, Cloud Map, with a new try": longest_call(aws._TIMEOUTS),
        "S3, with a new try": longest_call(aws._SIGNED_LINKS),
        "a search": searched,
    }

    for what, seconds in rows.items():
        assert f"| {what} | {seconds:g} |" in document, (what, seconds)
