"""Cold start: importing and initialising each function, beside the bare imports of the libraries it uses."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

_REPOSITORY = Path(__file__).parents[1]
_ROUNDS = 7

_CORE = (
    "boto3",
    "sqlalchemy",
    "pymysql",
    "redis",
    "pydantic",
    "pydantic_settings",
    "aws_lambda_powertools",
    "ulid",
    "tenacity",
)
_WEB = ("fastapi", "mangum")
_ACCOUNT = ("argon2", "phonenumbers")
_SPEECH = ("aip", "av")

# Each handler's module, and what it cannot do without.
FUNCTIONS = {
    "functions.user.api": (*_CORE, *_WEB, *_ACCOUNT, "limits.strategies"),
    "functions.user.codes_api": (
        *(*_CORE, *_WEB, *_ACCOUNT),
        *("limits.strategies", "alibabacloud_dysmsapi20170525.client"),
    ),
    "functions.user.index": (*_CORE, "aws_lambda_powertools.utilities.batch"),
    "functions.user.authorizer": _CORE,
    "functions.friend.api": (*_CORE, *_WEB),
    "functions.message.api": (*_CORE, *_WEB, "limits.strategies"),
    "functions.message.socket": (*_CORE, "limits.strategies"),
    "functions.message.push": (*_CORE, "aws_lambda_powertools.utilities.batch"),
    "functions.message.sweep": _CORE,
    "functions.speech.api": (*_CORE, *_WEB, *_SPEECH, "limits.strategies"),
    "functions.speech.transcribe": (*_CORE, *_SPEECH, "limits.strategies", "aws_lambda_powertools.utilities.batch"),
    "functions.ws_connect.authorizer": _CORE,
    "functions.ws_connect.connect": _CORE,
    "functions.ws_connect.sweep": _CORE,
}


class ColdStart(NamedTuple):
    """Medians in milliseconds, and the median of the ratios, pair by pair."""

    function_ms: float
    libraries_ms: float
    ratio: float


def measure(module: str) -> ColdStart:
    """Start fresh interpreters in turn, one for the function, one for its bare libraries."""
    libraries = ", ".join(FUNCTIONS[module])
    pairs = [(_milliseconds(f"import {module}"), _milliseconds(f"import {libraries}")) for _ in range(_ROUNDS)]
    return ColdStart(
        statistics.median(function for function, _ in pairs),
        statistics.median(bare for _, bare in pairs),
        statistics.median(function / bare for function, bare in pairs),
    )


def _milliseconds(statement: str) -> float:
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=_REPOSITORY, env=_environment())  # noqa: S603
    return (time.monotonic() - begin) * 1000


def _environment() -> dict[str, str]:
    of_a_function = {"POWERTOOLS_SERVICE_NAME": "hongyan", "AWS_DEFAULT_REGION": "us-east-1"}
    return {**os.environ, **of_a_function, "PYTHONPATH": f"{_REPOSITORY}:{_REPOSITORY / 'layers' / 'core'}"}
