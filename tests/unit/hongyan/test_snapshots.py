"""What starts from a snapshot has the hooks, and its snapshot holds nothing that they would have to undo."""

import json
import subprocess
import sys

import grimp
import pytest

from local.home import REPOSITORY
from tests.support.template import resources

HANDLERS = sorted(
    {
        function["Handler"].rpartition(".")[0]
        for function in resources("AWS::Serverless::Function").values()
        if "SnapStart" in function
    }
)

# Imports modules, and tells which of the results that they are to keep are there already.
_PROGRAM = """
import gc, importlib, json, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
from functools import _lru_cache_wrapper
kept = [
    f"{made.__module__}.{made.__name__}"
    for made in gc.get_objects()
    if isinstance(made, _lru_cache_wrapper) and made.__module__.split(".")[0] in ("hongyan", "functions")
    if made.cache_info().currsize
]
print(json.dumps(kept))
"""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("functions", "hongyan")


@pytest.mark.parametrize("module", ["hongyan.stores", "hongyan.aws", "hongyan.ids"])
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_that_starts_from_a_snapshot_registers_the_hooks(
    imports: grimp.ImportGraph, handler: str, module: str
) -> None:
    assert imports.chain_exists(importer=handler, imported=module)


def test_importing_the_functions_connects_to_nothing_and_reads_no_secret() -> None:
    ran = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", _PROGRAM, *HANDLERS],
        env={"PYTHONPATH": ".:layers/core", "AWS_DEFAULT_REGION": "us-east-1", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    # The one hash is of no password: it may be known, and shared.
    assert json.loads(ran.stdout) == ["functions.user.passwords._nobodys_hash"]
