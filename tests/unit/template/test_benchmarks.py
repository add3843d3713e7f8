"""What is measured is what is deployed."""

import re

from bench import cold_start
from tests.support.template import TEMPLATE, resources, template


def test_the_cold_start_of_every_function_is_measured() -> None:
    handlers = {function["Handler"].rpartition(".")[0] for function in resources("AWS::Serverless::Function").values()}

    assert set(cold_start.FUNCTIONS) == handlers


def test_the_document_argues_for_the_memory_that_each_function_has() -> None:
    rows = re.findall(r"^\| ([\w, ]+) \| (\d+) \| ", (TEMPLATE.parent / "docs" / "limits.md").read_text(), re.MULTILINE)
    argued = {name.strip(): int(memory) for names, memory in rows for name in names.split(",")}
    of_all = template()["Globals"]["Function"]["MemorySize"]

    functions = resources("AWS::Serverless::Function").items()
    assert {
        name.removesuffix("Function"): f.get("MemorySize", of_all) for name, f in functions
    }.items() <= argued.items()
