"""What work a message is, for `python -m cost` to price: `python -m bench.cost` writes cost/measured.json anew."""

import asyncio
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from bench import requests, work
from bench.groups import in_one_process
from local.stack import Stack

_REPOSITORY = Path(__file__).parents[1]
_HOME = _REPOSITORY / ".local" / "bench"
_MEASURED = _REPOSITORY / "cost" / "measured.json"


def main() -> None:
    """Take milliseconds on the deployed stack, count requests in this process, and write both down."""
    with Stack(_HOME) as stack:
        milliseconds = asyncio.run(work.measure(stack, _HOME))
    with in_one_process() as deployment:
        counts = requests.count(deployment)
    measured = {
        "as_of": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} × {platform.machine()}, Python {platform.python_version()}",
        "online": work.ONLINE,
        **milliseconds,
        "requests": counts,
    }
    _MEASURED.write_text(json.dumps(measured, indent=2) + "\n")
    print(f"Wrote {_MEASURED.relative_to(_REPOSITORY)}; `python -m cost --write` prices it anew in docs/cost.md.")


if __name__ == "__main__":
    main()
