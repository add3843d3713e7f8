"""Run a command that ends when its parent does.

`python leash.py PARENT_PID COMMAND...` becomes COMMAND. On Linux the kernel sends it SIGTERM when the parent dies,
however that happens (kill -9 too); elsewhere it just becomes COMMAND. A file of its own rather than a `preexec_fn`,
which is not safe in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; a signal handed to exec'ed programs as well


def main() -> None:
    """Tie this process to its parent and become the command."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it died before it could be watched
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  # a command line is what there is to run


if __name__ == "__main__":
    main()
