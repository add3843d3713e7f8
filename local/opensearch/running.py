"""A real OpenSearch while it is needed: the one that OPENSEARCH_URL names, or else a node of its own."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from local.engines import NotReadyError
from local.failures import StackError
from local.home import REPOSITORY, Home
from local.opensearch.node import OpenSearchNode, SecuredNode
from local.processes import Child

_READY_SECONDS = 120
_POLL_SECONDS = 0.1

Node = TypeVar("Node", bound=OpenSearchNode)


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
    with _home() as (home, lock), _running(OpenSearchNode(home), lock) as node:
        yield node.url


@contextmanager
def secured_opensearch(role: str) -> Iterator[str]:
    """Yield the URL, with a password, of a user with the rights of functions: a "reader" or a "writer".

    It is that of a node of its own with the security plugin, which ends as that of :func:`opensearch`.

    Raises:
        StackError: as there.

    """
    from local.opensearch import users  # noqa: PLC0415  # needs the product's own package

    with _home() as (home, lock), _running(SecuredNode(home), lock) as node:
        users.let_in(node, role)
        yield node.url_for(role)


@contextmanager
def _home() -> Iterator[tuple[Home, int]]:
    """Yield the folder for nodes, and its lock."""
    home = Home(REPOSITORY / ".local" / "opensearch")
    home.make()
    lock = home.lock()
    if lock is None:
        msg = f"Another run has its OpenSearch in {home.path}."
        raise StackError(msg)
    try:
        yield home, lock
    finally:
        os.close(lock)


@contextmanager
def _running(node: Node, lock: int) -> Iterator[Node]:
    node.empty()
    print("Building and starting OpenSearch.", flush=True)
    node.prepare()
    with asyncio.Runner() as runner:
        child = runner.run(
            Child.start(
                node.command(),
                log=node.home.log / f"{node.name}.log",
                environment=os.environ,
                cwd=REPOSITORY,
                lock=lock,
            )
        )
        try:
            runner.run(_wait_until_ready(node, child))
            print(f"{node.title} answers on port {node.port}, pid {child.pid}.", flush=True)
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
