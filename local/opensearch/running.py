"""A real OpenSearch while it is needed: the one that OPENSEARCH_URL names, or else a node of its own."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from local.engines import NotReadyError
from local.failures import StackError
from local.home import REPOSITORY, Home
from local.opensearch.node import OpenSearchNode
from local.processes import Child

_READY_SECONDS = 120
_POLL_SECONDS = 0.1


@contextmanager
def opensearch() -> Iterator[str]:
    """Yield the base URL of an OpenSearch; a node that was started for it ends with the context, or with this process.

    To be entered in the main thread, with which the node ends.

    Raises:
        StackError: no node could be built or started, or another run has it.

    """
    url = os.environ.get("OPENSEARCH_URL", "")
    if url:
        yield url
        return
    home = Home(REPOSITORY / ".local" / "opensearch")
    home.make()
    lock = home.lock()
    if lock is None:
        msg = f"Another run has its OpenSearch in {home.path}."
        raise StackError(msg)
    try:
        with _node(home, lock) as node:
            yield node.url
    finally:
        os.close(lock)


@contextmanager
def _node(home: Home, lock: int) -> Iterator[OpenSearchNode]:
    node = OpenSearchNode(home)
    node.empty()
    print("Building and starting OpenSearch.", flush=True)
    node.prepare()
    with asyncio.Runner() as runner:
        child = runner.run(
            Child.start(
                node.command(),
                log=home.log / f"{node.name}.log",
                environment=os.environ,
                cwd=REPOSITORY,
                lock=lock,
            )
        )
        try:
            runner.run(_wait_until_ready(node, child))
            print(f"OpenSearch answers at {node.url}, pid {child.pid}.", flush=True)
            yield node
        finally:
            runner.run(child.stop())


async def _wait_until_ready(node: OpenSearchNode, child: Child) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        if child.exit_code is not None:
            msg = f"{node.title} {child.epitaph()}"
            raise StackError(msg)
        try:
            await asyncio.to_thread(node.check)
        except NotReadyError as error:
            if time.monotonic() > deadline:
                msg = f"{node.title} did not answer within {_READY_SECONDS} s: {error}"
                raise StackError(msg) from error
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return
