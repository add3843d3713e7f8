"""`python -m local.opensearch [--as ROLE] COMMAND...`: run a command whose OPENSEARCH_URL names a real OpenSearch.

The one of the environment, or else a node of its own that lives as long as the command. With a role it is always such a
node, with its security plugin, and the URL is that of a user who may do what those functions may in AWS.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from local import control
from local.failures import StackError
from local.home import REPOSITORY
from local.opensearch.running import opensearch, secured_opensearch


def main() -> int:
    """Run the command and return its exit code, or 1 after one sentence that says why it could not be run."""
    arguments = _parse()
    engine = opensearch() if arguments.role is None else secured_opensearch(arguments.role)
    try:
        with engine as url:
            return asyncio.run(_run(arguments.command, url))
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
