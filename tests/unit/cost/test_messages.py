"""What a message uses, by hand from a measurement of round numbers; and what holds whatever was measured."""

from typing import Any

import pytest
from hongyan import timeline

from cost import messages
from cost.measurement import Measurement, measurement
from cost.messages import CROWD, FEW, MANY
from functions.message import audiences


def work(database_ms: float, **calls: tuple[float, float]) -> dict[str, Any]:
    """Return work in the database, and calls of functions: how many, and the milliseconds of each."""
    functions = {
        f"{name}Function": {"calls": count, "wall_ms": ms, "processor_ms": 0, "log_bytes": 100}
        for name, (count, ms) in calls.items()
    }
    stores = {"database_processor_ms": database_ms, "database_redo_bytes": 8192, "redis_processor_ms": 0}
    return {"functions": functions, **stores}


def requests(posts: int, shards: int = 0, batches: int = 0) -> dict[str, Any]:
    push = {"PostToConnection": posts, "posted bytes": posts * 500, "SendMessageBatch": batches, "commits": 0}
    return {"itself": {"PublishBatch": 1, "commits": 2}, "push": push, "events": 1, "shards": shards}


# A push takes 10 ms and 2 ms for each post; a shard the same; to look for shards takes 20 ms.
ROUND = Measurement.model_validate(
    {
        "as_of": "2026-01-01",
        "machine": "made up",
        "online": 25,
        "work": {
            FEW: work(1, MessageSocket=(1, 30), MessagePush=(1, 14), MessageIndex=(1, 40)),
            MANY: work(2, MessageSocket=(1, 30), MessagePush=(1, 62), MessageIndex=(1, 40)),
            CROWD: work(22, MessageSocket=(1, 30), MessagePush=(1, 20), MessageShard=(20, 12.6)),
            "read": work(1, MessageSocket=(1, 25), MessagePush=(1, 14)),
            "ping": work(0, WsConnectFrame=(1, 5)),
            "connect": work(1, UserApi=(1, 20), WsConnectConnect=(1, 10)),
        },
        "clock": {},
        "requests": {
            "send to 1 of 1": requests(2),
            MANY: requests(26),
            CROWD: requests(26, shards=20, batches=2),
            "read": requests(2),
            "ping": requests(0),
            "connect": requests(1),
        },
    }
)


def gb_seconds(milliseconds: float) -> float:
    return milliseconds / 1000 * 0.5  # 512 MB


def test_a_message_to_one_who_is_there_is_counted_request_by_request() -> None:
    used = messages.sent(2, 1, ROUND).quantities

    assert used["websocket_message"] == 2 + 2  # the frame and its ack; a post to each of both
    assert used["sns_publish"] == 1
    assert used["sqs_request"] == 2 * 3  # two queues, each delivered, received and deleted
    assert used["lambda_request"] == 3  # stored, pushed, indexed
    assert used["lambda_gb_second"] == pytest.approx(gb_seconds(30 + 14 + 40))
    assert used["aurora_io"] == 2
    assert used["aurora_acu_hour"] == pytest.approx(0.001 / 3600 / 0.25 / 0.5)
    assert used["log_gb"] == pytest.approx(300 / 1e9)


def test_each_who_is_there_costs_a_post_and_its_milliseconds() -> None:
    ten, eleven = (messages.sent(100, online, ROUND).quantities for online in (10, 11))

    assert eleven["websocket_message"] - ten["websocket_message"] == 1
    assert eleven["lambda_gb_second"] - ten["lambda_gb_second"] == pytest.approx(gb_seconds(2))
    assert eleven["lambda_request"] == ten["lambda_request"]


def test_a_crowd_costs_a_function_for_each_shard() -> None:
    used = messages.sent(10_000, 19, ROUND).quantities

    assert used["lambda_request"] == 3 + 20
    assert used["sqs_request"] == 6 + 2 + 2 * 20  # put in two batches, each received and deleted
    assert used["lambda_gb_second"] == pytest.approx(
        gb_seconds(30 + 40 + 20 + 20 * 14)
    )  # as a small push, 0.3 posts fewer


def test_a_large_group_costs_one_write_as_a_single_does() -> None:
    single, crowd = (messages.sent(members, 1, ROUND).quantities for members in (2, 10_000))

    for once in ("aurora_io", "aurora_gb_month", "sns_publish"):
        assert crowd[once] == single[once]


def test_what_a_processor_works_takes_longer_on_a_part_of_one() -> None:
    one = ROUND.work["ping"].functions["WsConnectFrameFunction"].model_copy(update={"wall_ms": 10, "processor_ms": 4})

    used = messages.call("WsConnectFrameFunction", one).quantities

    assert used["lambda_gb_second"] == gb_seconds(20)  # 6 waited; 4 worked, at 512 of 1,769 MB 13.8, begun ones whole


def test_in_a_large_group_nobody_is_told_how_far_somebody_read() -> None:
    small, large = (messages.read(members, 40, ROUND).quantities for members in (50, 51))

    assert small["websocket_message"] == 2 + 40
    assert large["websocket_message"] == 2 + 1


def test_a_connected_hour_is_its_minutes_and_its_pings() -> None:
    used = messages.connected_hour(ROUND).quantities

    assert used == {
        "websocket_minute": 60,
        "websocket_message": 180 * 2,
        "lambda_request": 180,
        "lambda_gb_second": pytest.approx(180 * gb_seconds(5)),
        "log_gb": pytest.approx(180 * 100 / 1e9),
    }


def test_the_model_knows_the_sizes_that_the_code_has() -> None:
    assert (messages.SHARD_SIZE, messages.SMALL_GROUP) == (audiences.SHARD_SIZE, timeline.SMALL_GROUP)


def test_what_was_measured_is_of_functions_that_there_are() -> None:
    for taken in measurement().work.values():
        assert all(messages.memory_mb(function) for function in taken.functions)


@pytest.mark.parametrize("members", [2, 100, 10_000])
def test_whatever_was_measured_more_who_are_there_cost_more_and_the_write_costs_the_same(members: int) -> None:
    few, many = messages.sent(members, 0).quantities, messages.sent(members, min(members - 1, 1_000)).quantities

    assert many["lambda_gb_second"] > few["lambda_gb_second"]
    assert many["websocket_message"] > few["websocket_message"]
    assert many["aurora_io"] == few["aurora_io"] == messages.sent(2, 1).quantities["aurora_io"]
