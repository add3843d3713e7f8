"""Cold start: importing and initialising each function, beside the bare imports of the libraries it uses."""

import os
import resource
import statistics
import subprocess
import sys
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
_LIMITS = ("limits.strategies",)
_BATCHES = ("aws_lambda_powertools.utilities.batch",)

# The module of each handler in template.yaml, and what it cannot do without.
FUNCTIONS = {
    "functions.user.authorizer": _CORE,
    "functions.user.api": (*_CORE, *_WEB, *_ACCOUNT, *_LIMITS),
    "functions.user.codes_api": (*_CORE, *_WEB, *_ACCOUNT, *_LIMITS, "alibabacloud_dysmsapi20170525.client"),
    "functions.user.index": (*_CORE, *_BATCHES),
    "functions.user.reindex": _CORE,
    "functions.friend.api": (*_CORE, *_WEB),
    "functions.message.api": (*_CORE, *_WEB, *_LIMITS, "emoji"),
    "functions.message.search_api": (*_CORE, *_WEB, *_LIMITS),
    "functions.message.socket": (*_CORE, *_LIMITS),
    "functions.message.push": (*_CORE, *_BATCHES),
    "functions.message.index": (*_CORE, *_BATCHES),
    "functions.message.reindex": _CORE,
    "functions.message.sweep": _CORE,
    "functions.message.export": _CORE,
    "functions.message.retention": _CORE,
    "functions.file.api": (*_CORE, *_WEB, *_LIMITS, "puremagic"),
    "functions.file.verify": (*_CORE, *_LIMITS, *_BATCHES, "puremagic"),
    "functions.file.thumbnails": (*_CORE, *_BATCHES, "PIL.Image"),
    "functions.file.sweep": _CORE,
    "functions.speech.api": (*_CORE, *_WEB, *_LIMITS, *_SPEECH),
    "functions.speech.transcribe": (*_CORE, *_LIMITS, *_BATCHES, *_SPEECH),
    "functions.ws_connect.authorizer": _CORE,
    "functions.ws_connect.connect": _CORE,
    "functions.ws_connect.sweep": _CORE,
    "migrations.handler": (*_CORE, "alembic.command"),
    "smoke.handler": ("boto3", "pydantic", "pydantic_settings", "aws_lambda_powertools", "httpx", "websockets"),
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


def report() -> None:
    """Print what `measure` finds of each function."""
    print("\n## Cold start: import and init, in fresh interpreters in turn\n")
    print("| function | function ms | its bare libraries ms | ratio |\n|---|---|---|---|")
    for module in FUNCTIONS:
        measured = measure(module)
        print(f"| {module} | {measured.function_ms:.0f} | {measured.libraries_ms:.0f} | {measured.ratio:.2f} |")


def _milliseconds(statement: str) -> float:
    """Return the processor's time, of which a start consists: what runs beside it does not count."""
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=_REPOSITORY, env=_environment())  # noqa: S603
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime) * 1000


def _environment() -> dict[str, str]:
    of_a_function = {"POWERTOOLS_SERVICE_NAME": "hongyan", "AWS_DEFAULT_REGION": "us-east-1"}
    sources = (_REPOSITORY, _REPOSITORY / "layers" / "core", _REPOSITORY / "clients" / "python")
    return {**os.environ, **of_a_function, "PYTHONPATH": os.pathsep.join(map(str, sources))}


if __name__ == "__main__":
    report()
