"""`python -m local`: the local stack's command line."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from local import control
from local.failures import StackError
from local.home import REPOSITORY, Home
from local.supervisor import supervise


def main() -> int:
    """Carry out one command; return 0, or 1 after one sentence that says what failed."""
    arguments = _parse()
    home = Home(arguments.home)
    try:
        _carry_out(arguments, home)
    except StackError as error:
        print(f"{control.ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130  # as shells count it
    return 0


def _carry_out(arguments: argparse.Namespace, home: Home) -> None:
    match arguments.command:
        case "run":
            asyncio.run(supervise(home, _say, engines_only=arguments.engines_only))
        case "up":
            control.start(home, engines_only=arguments.engines_only)
        case "down":
            control.stop(home)
        case "restart":
            control.ask(home, "restart", service=arguments.service, empty=arguments.empty)
        case "status":
            _show(control.record(home))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description="The local stack.")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", type=Path, default=REPOSITORY / ".local", help="the stack's folder (default: .local)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in (("run", "start, and stop on Ctrl-C"), ("up", "start in the background")):
        command = commands.add_parser(name, parents=[shared], help=purpose)
        command.add_argument("--engines-only", action="store_true", help="the data stores without the deployment")
    commands.add_parser("down", parents=[shared], help="stop")
    commands.add_parser("status", parents=[shared], help="what runs where")
    restart = commands.add_parser("restart", parents=[shared], help="restart one data store while the rest goes on")
    restart.add_argument("service")
    restart.add_argument("--empty", action="store_true", help="throw its data away")
    return parser.parse_args()


def _show(record: dict[str, Any]) -> None:
    print("ready" if record["ready"] else "starting")
    for name, service in record["services"].items():
        print(f"  {name:<10}  pid {service['pid']}  {service['url']}")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
