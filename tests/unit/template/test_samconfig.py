"""What `samconfig.toml` deploys is what the template can be given."""

import re
import tomllib
from typing import Any

import pytest

from tests.support.template import STORES, TEMPLATE, template

CONFIGURATION = tomllib.loads((TEMPLATE.parent / "samconfig.toml").read_text())
ENVIRONMENTS = [name for name, section in CONFIGURATION.items() if isinstance(section, dict) and "deploy" in section]


def deployed(environment: str) -> dict[str, Any]:
    parameters: dict[str, Any] = CONFIGURATION[environment]["deploy"]["parameters"]
    return parameters


def given(environment: str) -> dict[str, str]:
    return dict(override.split("=", 1) for override in deployed(environment)["parameter_overrides"])


def test_there_is_one_for_trying_it_out_and_one_for_a_company() -> None:
    assert ENVIRONMENTS == ["dev", "prod"]
    assert given("dev")["Size"] == "dev"
    assert deployed("prod")["confirm_changeset"] is True
    assert given("prod")["TrafficShift"].startswith("Canary")
    assert int(given("prod")["FirewallRequests"]) > 0


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_parameter_is_one_of_the_templates_with_a_value_that_it_takes_and_none_is_secret(environment: str) -> None:
    known = template()["Parameters"]

    for name, value in given(environment).items():
        assert value in known[name].get("AllowedValues", [value]), name
        assert not known[name].get("NoEcho"), name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_stacks_name_is_one_that_the_stores_can_be_called_by(environment: str) -> None:
    assert re.fullmatch(template(STORES)["Parameters"]["Name"]["AllowedPattern"], deployed(environment)["stack_name"])


def test_the_document_names_outputs_and_parameters_that_there_are() -> None:
    page = (TEMPLATE.parent / "docs" / "deploy.md").read_text()
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)(?:=\w+)?`", page))

    assert {"RestUrl", "CertificateArn"} <= named
    assert named <= {*template()["Outputs"], *template()["Parameters"]}
