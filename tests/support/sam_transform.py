"""SAM's transform of template.yaml, as AWS runs it; for the SAM CLI's interpreter: the translator pins other packages.

Reads {"template": path, "parameters": {...}, "packages": {path: URL}} and writes plain CloudFormation, both as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The template names none of AWS's policies, so their list is not asked for."""

    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    order = json.load(sys.stdin)
    template = yaml_parse(Path(order["template"]).read_text())
    given = {name: parameter.get("Default", "given") for name, parameter in template["Parameters"].items()}
    packed = [
        template["Globals"]["Function"],
        *(resource.get("Properties", {}) for resource in template["Resources"].values()),
    ]
    for properties in packed:
        _point_at_packages(properties, order["packages"])
    json.dump(transform(template, given | order["parameters"], NoManagedPolicies()), sys.stdout)


def _point_at_packages(properties: dict[str, Any], packages: dict[str, str]) -> None:
    # As `sam package` does after uploading what was built.
    for name in ("CodeUri", "ContentUri"):
        if name in properties:
            folder = properties[name].rstrip("/")
            properties[name] = packages.get(folder, f"s3://packages/{folder}")


if __name__ == "__main__":
    main()
