"""The client processes: `python -m bench.talk send|receive`, told what to do by a line of JSON, answering with one.

Times are of the machine's monotonic clock, which all its processes share.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from typing import Any

import websockets

Job = dict[str, Any]

_PATIENCE_SECONDS = 120


async def send(job: Job) -> dict[str, Any]:
    """Run the senders side by side, each sending its messages one by one, each after the ack of the last."""
    senders = [_send_all(job["websocket_url"], sender, job["messages"]) for sender in job["senders"]]
    return {"messages": [message for sent in await asyncio.gather(*senders) for message in sent]}


async def receive(job: Job) -> dict[str, Any]:
    """Note when each message arrives on one socket, until as many different ones have as the job expects."""
    arrived: dict[str, float] = {}
    out_of_order = 0
    seqs: dict[str, list[int]] = defaultdict(list)
    headers = {"Authorization": f"Bearer {job['token']}"}
    async with websockets.connect(
        job["websocket_url"], additional_headers=headers, open_timeout=_PATIENCE_SECONDS
    ) as socket:
        print("listening", flush=True)
        while len(arrived) < job["expected"]:
            frame = json.loads(await asyncio.wait_for(socket.recv(), _PATIENCE_SECONDS))
            moment = time.monotonic()
            for event in frame.get("events", []):
                if event["type"] != "message.created":
                    continue
                message = event["data"]["message"]
                if message["id"] in arrived:
                    continue
                arrived[message["id"]] = moment
                told = seqs[message["conversation_id"]]
                out_of_order += bool(told) and message["seq"] < max(told)
                told.append(message["seq"])
    complete = all(sorted(told) == list(range(min(told), max(told) + 1)) for told in seqs.values())
    return {"arrived": arrived, "out_of_order": out_of_order, "complete": complete}


async def _send_all(websocket_url: str, sender: Job, number: int) -> list[dict[str, Any]]:
    sent = []
    headers = {"Authorization": f"Bearer {sender['token']}"}
    async with websockets.connect(websocket_url, additional_headers=headers, open_timeout=_PATIENCE_SECONDS) as socket:
        for n in range(number):
            begin = time.monotonic()
            message = await _send_one(socket, sender["conversation_id"], str(n))
            sent.append({"id": message["id"], "seq": message["seq"], "begin": begin, "acked": time.monotonic()})
    return sent


async def _send_one(socket: websockets.ClientConnection, conversation_id: str, frame_id: str) -> dict[str, Any]:
    message = {"client_id": f"{time.monotonic_ns()}", "type": "text", "content": {"text": "你好, how fast are you?"}}
    frame = {"action": "send", "id": frame_id, "conversation_id": conversation_id, "message": message}
    await socket.send(json.dumps(frame))
    while True:
        answer = json.loads(await asyncio.wait_for(socket.recv(), _PATIENCE_SECONDS))
        if answer["type"] == "events":
            continue
        if answer["type"] != "ack":
            sys.exit(f"a send was refused: {answer}")
        stored: dict[str, Any] = answer["data"]["message"]
        return stored


def main() -> None:
    """Do one job."""
    job = json.loads(sys.stdin.readline())
    work = {"send": send, "receive": receive}[sys.argv[1]]
    print(json.dumps(asyncio.run(work(job))), flush=True)


if __name__ == "__main__":
    main()
