"""`python -m local.opensearch COMMAND...`: run a command whose OPENSEARCH_URL names a real OpenSearch.

The one of the environment, or else a node of its own that lives as long as the command.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from local import control
from local.failures import StackError
from local.home import REPOSITORY
from local.opensearch.running import opensearch


def main() -> int:
    """Run the command and return its exit code, or 1 after one sentence that says why it could not be run."""
    try:
        with opensearch() as url:
            return asyncio.run(_run(sys.argv[1:], url))
    except StackError as error:
        print(f"{control.ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130  # as shells count it


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
