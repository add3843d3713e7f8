"""What AWS makes of a template of the Serverless Application Model, read from stdin and written to stdout as JSON.

    .local/venv/sam/bin/python tests/support/serverless_transform.py '{"LocalHost": ""}' < template.yaml

Run by the interpreter of the SAM CLI's virtual environment: the translator, which AWS runs too, pins another pydantic
than the project. It asks nobody: an address in S3 stands for code.
"""

import json
import sys
from typing import Any

from boto3 import Session
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

_PACKAGES = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_PACKAGE = "s3://packages/package"


def transform(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """Return the template as CloudFormation gets it."""
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for resource in template["Resources"].values():
        if (package := _PACKAGES.get(resource["Type"])) is not None:
            resource["Properties"][package] = _PACKAGE
    translator = Translator({}, Parser(), boto_session=Session(region_name="us-east-1"))
    translated: dict[str, Any] = translator.translate(template, parameters)
    return translated


if __name__ == "__main__":
    json.dump(transform(yaml_parse(sys.stdin.read()), json.loads(sys.argv[1])), sys.stdout)
