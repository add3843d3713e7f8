"""What is used for one message, read mark, ping and connection.

Each is put together of what was measured (cost.measurement): milliseconds of functions, requests, bytes. Two points are
measured of a push, one with few posts and one with many, and of what a shard of a large group takes; between and beyond
them it is taken to be straight.
"""

from functools import cache
from math import ceil

from cost.assumptions import ASSUMED
from cost.measurement import Call, Measurement, Work, measurement
from cost.prices import Usage
from tests.support.template import resources, template

# functions.message.audiences and hongyan.timeline; a test holds them together.
SHARD_SIZE = 500
SMALL_GROUP = 50

TO_ONE = "send to 1 of 1"
FEW, MANY, CROWD = "send to 1", "send to 25 of 100", "send to 25 of 10000"

_REQUEST_AND_ANSWER = 2
# SNS delivers, Lambda receives and deletes: one request each, when a message comes alone.
_QUEUE_REQUESTS = 3
_QUEUES_OF_A_MESSAGE, _QUEUES_OF_A_READ = 2, 1  # push and index; push
_GB = 1e9


def call(function: str, one: Call) -> Usage:
    """Return what one call of a function uses.

    What the processor worked here takes longer where a function has only part of one.
    """
    memory = memory_mb(function)
    slower = max(1, ASSUMED.lambda_mb_a_processor / memory)
    billed_ms = ceil(one.wall_ms + one.processor_ms * (slower - 1))
    return Usage(lambda_request=1, lambda_gb_second=billed_ms / 1000 * memory / 1024, log_gb=one.log_bytes / _GB)


def database(processor_ms: float, redo_bytes: float, commits: int) -> Usage:
    """Return what some work in the database uses."""
    busy_hours = processor_ms / 1000 / 3600
    return Usage(
        aurora_acu_hour=busy_hours / ASSUMED.processors_an_acu / ASSUMED.database_utilisation,
        aurora_io=max(commits, ceil(redo_bytes / ASSUMED.aurora_io_bytes)),
        aurora_gb_month=redo_bytes / 2 / _GB,  # the redo log holds a row and what undoes it
    )


def posts(number: float, bytes_each: float) -> Usage:
    """Return what so many posts to connections use besides their function's time."""
    return Usage(
        websocket_message=number,
        transfer_gb=number * (bytes_each + ASSUMED.bytes_around_a_frame) / _GB,
        nat_gb=number * (bytes_each + ASSUMED.bytes_around_a_post) / _GB,
    )


def sent(members: int, online: float, measured: Measurement | None = None) -> Usage:
    """Return what is used for one message in a conversation of so many, so many of whose devices are open.

    The sender's device is not among them; it is told as well.
    """
    known = measured or measurement()
    few, crowd = known.requests[TO_ONE], known.requests[CROWD]
    told = online + few.posts - 1
    shards = ceil(members / SHARD_SIZE) if members > SHARD_SIZE else 0
    usage = (
        Usage(websocket_message=_REQUEST_AND_ANSWER, sns_publish=1, sqs_request=_QUEUES_OF_A_MESSAGE * _QUEUE_REQUESTS)
        + call("MessageSocketFunction", known.work[FEW].functions["MessageSocketFunction"])
        + call("MessageIndexFunction", known.work[FEW].functions["MessageIndexFunction"])
        + posts(told, few.push["posted bytes"] / few.posts)
        + _database_of_a_message(known, members, shards)
    )
    if not shards:
        return usage + call("MessagePushFunction", _push_of(known, told))
    batches = crowd.push["SendMessageBatch"] / crowd.shards
    return (
        usage
        + call("MessagePushFunction", known.work[CROWD].functions["MessagePushFunction"])
        + call("MessageShardFunction", _shard_of(known, told / shards)) * shards
        + Usage(sqs_request=ceil(batches * shards) + (_QUEUE_REQUESTS - 1) * shards)
    )


def read(members: int, online: float, measured: Measurement | None = None) -> Usage:
    """Return what is used for a read mark. In a large group nobody is told but one's own devices."""
    known = measured or measurement()
    seen, work = known.requests["read"], known.work["read"]
    told = online if members <= SMALL_GROUP else 1
    return (
        Usage(websocket_message=_REQUEST_AND_ANSWER, sns_publish=1, sqs_request=_QUEUES_OF_A_READ * _QUEUE_REQUESTS)
        + call("MessageSocketFunction", work.functions["MessageSocketFunction"])
        + call("MessagePushFunction", _push_of(known, told))
        + posts(told, seen.push["posted bytes"] / seen.posts)
        + database(work.database_processor_ms, work.database_redo_bytes, seen.of("commits"))
    )


def ping(measured: Measurement | None = None) -> Usage:
    """Return what is used for a ping and its pong."""
    known = measured or measurement()
    return Usage(websocket_message=_REQUEST_AND_ANSWER) + _calls(known.work["ping"])


def connection(measured: Measurement | None = None) -> Usage:
    """Return what is used for coming with a ticket, a ping, a sync, and going, and for telling a friend of it."""
    known = measured or measurement()
    seen, work = known.requests["connect"], known.work["connect"]
    return (
        Usage(
            rest_request=1,
            firewall_request=1,
            websocket_message=2 * _REQUEST_AND_ANSWER,
            sns_publish=seen.of("PublishBatch"),
            sqs_request=seen.events * _QUEUE_REQUESTS,
        )
        + _calls(work)
        + posts(seen.posts, seen.push.get("posted bytes", 0) / max(1, seen.posts))
        + database(work.database_processor_ms, work.database_redo_bytes, seen.of("commits"))
    )


def connected_hour(measured: Measurement | None = None) -> Usage:
    """Return what is used for a connection that is open for an hour: its minutes and its pings."""
    return Usage(websocket_minute=60) + ping(measured) * (3600 / ASSUMED.ping_seconds)


def _push_of(known: Measurement, told: float) -> Call:
    return _push(known, FEW).plus(_a_post(known), told - known.requests[TO_ONE].posts)


def _shard_of(known: Measurement, told: float) -> Call:
    """Return a shard's call, which waits for what a small push waits for.

    How long shards last that run side by side on two processors says nothing of those that have each their own.
    """
    crowd, few = known.requests[CROWD], _push(known, FEW)
    one = known.work[CROWD].functions["MessageShardFunction"]
    one = one.model_copy(update={"wall_ms": one.processor_ms + few.wall_ms - few.processor_ms})
    return one.plus(_a_post(known), told - crowd.posts / crowd.shards)


def _a_post(known: Measurement) -> Call:
    """Return what one more post makes a call longer by."""
    few, many = _push(known, FEW), _push(known, MANY)
    more = known.requests[MANY].posts - known.requests[TO_ONE].posts
    return Call(
        wall_ms=(many.wall_ms - few.wall_ms) / more,
        processor_ms=(many.processor_ms - few.processor_ms) / more,
        log_bytes=(many.log_bytes - few.log_bytes) / more,
    )


def _push(known: Measurement, work: str) -> Call:
    return known.work[work].functions["MessagePushFunction"]


def _database_of_a_message(known: Measurement, members: int, shards: int) -> Usage:
    few, many, crowd = (known.work[name] for name in (FEW, MANY, CROWD))
    commits = known.requests[TO_ONE].itself["commits"]
    if members <= 2:  # noqa: PLR2004  # a single
        return database(few.database_processor_ms, few.database_redo_bytes, commits)
    each = max(0, crowd.database_processor_ms - many.database_processor_ms) / known.requests[CROWD].shards
    return database(many.database_processor_ms + each * shards, many.database_redo_bytes, commits)


def _calls(work: Work) -> Usage:
    total = Usage()
    for function, one in work.functions.items():
        total += call(function, one) * one.calls
    return total


@cache
def memory_mb(function: str) -> int:
    """Return how many MB the template gives a function."""
    of_all: int = template()["Globals"]["Function"]["MemorySize"]
    memory: int = resources("AWS::Serverless::Function")[function].get("MemorySize", of_all)
    return memory
