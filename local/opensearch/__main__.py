"""`python -m local.opensearch [--as ROLE] COMMAND...`: run a command whose OPENSEARCH_URL names a real OpenSearch.

The one of the environment, or else a node of its own that lives as long as the command. As a reader or writer, always
one of its own, which allows what functions of that role may do in AWS and nothing else.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from local import control
from local.engines import NotReadyError
from local.failures import StackError
from local.home import REPOSITORY, Home
from local.opensearch.node import OpenSearchNode, SecuredNode
from local.processes import Child

_READY_SECONDS = 120
_POLL_SECONDS = 0.1


def main() -> int:
    """Run the command and return its exit code, or 1 after one sentence that says why it could not be run."""
    try:
        arguments = _parse()
        return asyncio.run(_run_with_opensearch(arguments.command, arguments.role))
    except StackError as error:
        print(f"{control.ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130  # as shells count it


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.opensearch", description="A command with a real OpenSearch.")
    parser.add_argument("--as", dest="role", choices=["reader", "writer"], help="with the rights of these functions")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


async def _run_with_opensearch(command: Sequence[str], role: str | None) -> int:
    url = os.environ.get("OPENSEARCH_URL", "")
    if url and role is None:
        return await _run(command, url)
    home = Home(REPOSITORY / ".local" / "opensearch")
    home.make()
    lock = home.lock()
    if lock is None:
        msg = f"Another run has its OpenSearch in {home.path}."
        raise StackError(msg)
    try:
        if role is None:
            node = OpenSearchNode(home)
            return await _run_with_node(command, node, lock, node.url)
        from local.opensearch import users  # noqa: PLC0415  # needs the product's own package

        secured = SecuredNode(home)
        return await _run_with_node(command, secured, lock, secured.url_for(role), lambda: users.let_in(secured, role))
    finally:
        os.close(lock)


async def _run_with_node(
    command: Sequence[str],
    node: OpenSearchNode,
    lock: int,
    url: str,
    open_to_command: Callable[[], None] = lambda: None,
) -> int:
    node.empty()
    print("Building and starting OpenSearch.", flush=True)
    await asyncio.to_thread(node.prepare)
    child = await Child.start(
        node.command(),
        log=node.home.log / f"{node.name}.log",
        environment=os.environ,
        cwd=REPOSITORY,
        lock=lock,
    )
    try:
        await _wait_until_ready(node, child)
        await asyncio.to_thread(open_to_command)
        print(f"{node.title} answers on port {node.port}, pid {child.pid}.", flush=True)
        return await _run(command, url)
    finally:
        await child.stop()


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


async def _run(command: Sequence[str], url: str) -> int:
    process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, env=os.environ | {"OPENSEARCH_URL": url})
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.terminate)
    # A Ctrl-C in the terminal reaches the command too, which ends in order; then this does.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    code = await process.wait()
    return code if code >= 0 else 128 - code  # as shells count one that a signal ended


if __name__ == "__main__":
    sys.exit(main())
