"""What the hooks of SnapStart do before a snapshot, and the first call is spared: `python -m bench.snapshots`.

Each thing in a fresh interpreter that has imported a function already, as an environment has. Beside it stands that
import, which the snapshot spares too.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).parents[1]
_ROUNDS = 7
_FUNCTION = "functions.user.api"

_BEFOREHAND = {
    "importing the function": f"import {_FUNCTION}",
    "making the AWS clients": "aws.prepare()",
    "importing OpenSearch's client": "import opensearchpy",
}

_PROGRAM = """
import time
{imports}
begin = time.perf_counter()
{statement}
print((time.perf_counter() - begin) * 1000)
"""


def main() -> None:
    """Print the medians."""
    print("| before the snapshot | ms |\n|---|---|")
    for what, statement in _BEFOREHAND.items():
        rounds = [_milliseconds(statement) for _ in range(_ROUNDS)]
        print(f"| {what} | {statistics.median(rounds):.0f} |")


def _milliseconds(statement: str) -> float:
    imports = "" if _FUNCTION in statement else f"import {_FUNCTION}\nfrom hongyan import aws"
    program = _PROGRAM.format(imports=imports, statement=statement)
    environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": ".:layers/core"}
    ran = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", program], check=True, cwd=_REPOSITORY, env=environment, capture_output=True, text=True
    )
    return float(ran.stdout)


if __name__ == "__main__":
    main()
