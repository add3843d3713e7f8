"""What `sam local` needs to run a function in a container against this stack (docs/sam-local.md).

A container reaches this machine by a name of its own, and 127.0.0.1 is itself there. So the file gives each function
the variables that it has on the stack, with that name in their addresses; and where a variable names a secret or the
registry, a copy of that for containers. What clients are told of, the APIs' public addresses, stays as it is.
"""

from botocore.config import Config

from local.deploy import STACK, account
from local.home import Home, write_json

# Docker Desktop's name of the machine, for whose loopback addresses it stands in.
_MACHINE = "host.docker.internal"
_SUFFIX = "-sam-local"

Variables = dict[str, str]


def write_environment(home: Home, endpoint_url: str) -> None:
    """Write `sam-local-env.json`, for `sam local --env-vars`, and make the copies that it names.

    Raises:
        botocore.exceptions.ClientError: the stack is not deployed.

    """
    copies = _Copies(endpoint_url)
    formation = account().client("cloudformation", endpoint_url=endpoint_url)
    functions = account().client("lambda", endpoint_url=endpoint_url)
    resources = formation.describe_stack_resources(StackName=STACK)["StackResources"]
    environment = {
        resource["LogicalResourceId"]: copies.of_variables(
            functions.get_function_configuration(FunctionName=resource["PhysicalResourceId"])["Environment"][
                "Variables"
            ]
        )
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }
    write_json(home.sam_local_file, environment)


class _Copies:
    """Secrets and a registry with addresses that containers reach; each is made once."""

    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url
        self._secrets = account().client("secretsmanager", endpoint_url=endpoint_url)
        self._registry = account().client(
            "servicediscovery", endpoint_url=endpoint_url, config=Config(inject_host_prefix=False)
        )
        self._secret_arns: dict[str, str] = {}
        self._namespace = self._copy_namespace()

    def of_variables(self, variables: Variables) -> Variables:
        """Return a function's variables as they are in a container."""
        return {
            **{name: self._of_variable(name, value) for name, value in variables.items()},
            "AWS_ENDPOINT_URL": _reached(self._endpoint_url),
        }

    def _of_variable(self, name: str, value: str) -> str:
        if name == "CLOUD_MAP_NAMESPACE":
            return self._namespace
        if name.endswith("_SECRET_ARN"):
            if value not in self._secret_arns:
                self._secret_arns[value] = self._copy_secret(value)
            return self._secret_arns[value]
        return _reached(value)

    def _copy_secret(self, arn: str) -> str:
        original = self._secrets.get_secret_value(SecretId=arn)
        copy = self._secrets.create_secret(
            Name=original["Name"] + _SUFFIX, SecretString=_reached(original["SecretString"])
        )
        return copy["ARN"]

    def _copy_namespace(self) -> str:
        operation = self._registry.create_http_namespace(Name=STACK + _SUFFIX)["OperationId"]
        namespace_id = self._registry.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
        for service in self._registry.list_services()["Services"]:
            copy = self._registry.create_service(Name=service["Name"], NamespaceId=namespace_id, Type="HTTP")["Service"]
            for instance in self._registry.list_instances(ServiceId=service["Id"])["Instances"]:
                attributes = _for_functions(instance["Attributes"])
                self._registry.register_instance(ServiceId=copy["Id"], InstanceId=instance["Id"], Attributes=attributes)
        return STACK + _SUFFIX


def _for_functions(attributes: dict[str, str]) -> dict[str, str]:
    """Return an instance's attributes with the one address that functions call themselves changed."""
    return {name: _reached(value) if name == "management_url" else value for name, value in attributes.items()}


def _reached(text: str) -> str:
    """Return a text with the machine's name in the place of its loopback addresses."""
    return text.replace("127.0.0.1", _MACHINE).replace("localhost", _MACHINE)
