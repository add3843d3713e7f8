"""template.yaml as AWS gets to see it: SAM's own translator makes plain CloudFormation of it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

from local.home import REPOSITORY
from tests.support.template import TEMPLATE

_PYTHON = REPOSITORY / ".local" / "venv" / "sam" / "bin" / "python"

Resources = dict[str, dict[str, Any]]


def translated(packages: dict[str, str] | None = None, /, **parameters: str) -> Resources:
    """Return the resources that a deployment makes; as `translate`."""
    made: Resources = translate(packages, **parameters)["Resources"]
    return made


def translate(packages: dict[str, str] | None = None, /, **parameters: str) -> dict[str, Any]:
    """Return the template as CloudFormation gets it.

    Args:
        packages: where the package of a folder lies, by folder; elsewhere for another release of it.
        parameters: other than the template's defaults, which are those of AWS.

    """
    order = {"template": str(TEMPLATE), "parameters": parameters, "packages": packages or {}}
    ran = subprocess.run(  # noqa: S603  # our own program
        [str(_PYTHON), "-m", "tests.support.sam_transform"],
        input=json.dumps(order),
        env=os.environ | {"PYTHONPATH": ".", "AWS_DEFAULT_REGION": "us-east-1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    template: dict[str, Any] = json.loads(ran.stdout)
    return template


def of_type(resources: Resources, kind: str) -> Resources:
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def needed_by(resource: dict[str, Any], resources: Resources) -> set[str]:
    """Return the resources that CloudFormation makes before this one: whatever it refers to, anywhere in it."""
    return {name for name in _names_in(resource) if name in resources}


def _names_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _names_in(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key == "Ref":
            yield item
        elif key == "Fn::GetAtt":
            yield item.split(".")[0] if isinstance(item, str) else item[0]
        elif key == "DependsOn":
            yield from [item] if isinstance(item, str) else item
        else:
            if key == "Fn::Sub":
                text = item if isinstance(item, str) else item[0]
                yield from re.findall(r"\$\{(\w+)", text)
            yield from _names_in(item)
