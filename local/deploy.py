"""`sam build` and `sam deploy` of the project's template to the emulator."""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import processes
from local.emulator import CREDENTIALS, REGION
from local.engines import write_private
from local.failures import StackError
from local.home import REPOSITORY, Home

STACK = "hongyan"
_BUCKET = "hongyan-deployment"
_BUILD_SECONDS = 300  # the first build downloads every layer's wheels
_DEPLOY_SECONDS = 300  # the migrations among them
_REINDEX_SECONDS = 900  # the functions' own limit in template.yaml


@dataclass(frozen=True)
class Stores:
    """Where the deployed functions find the data stores."""

    database_url: str
    database_owner_url: str
    redis_url: str
    opensearch_url: str


@dataclass(frozen=True)
class Sms:
    """The account at the SMS vendor, or at its stand-in."""

    endpoint: str
    access_key_id: str
    access_key_secret: str
    sign_name: str
    template_codes: dict[str, str]


@dataclass(frozen=True)
class Speech:
    """The account at the speech vendor, or at its stand-in."""

    token_url: str
    recognition_url: str
    app_id: str
    api_key: str
    secret_key: str


@dataclass(frozen=True)
class Outputs:
    """What the deployed stack tells about itself."""

    rest_url: str
    websocket_url: str
    user_reindex_function: str
    message_reindex_function: str


def environment(home: Home) -> dict[str, str]:
    """Return the environment of every program of the stack: the caller's, without what would lead it astray."""
    kept = {name: value for name, value in os.environ.items() if not _leads_astray(name)}
    return kept | {
        "TMPDIR": str(home.tmp),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # `sam build` and the Makefiles it calls take the interpreter and the pip from here.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


def _leads_astray(name: str) -> bool:
    # A developer's own AWS account, an outer make's flags, sources that a function must find in its layer only.
    return name.startswith(("AWS_", "SAM_", "MAKE", "PYTHON")) or name in {"MFLAGS", "LAYER_PIP_FLAGS"}


async def build(home: Home) -> None:
    """Build functions and layers.

    Raises:
        StackError: `sam build` failed.

    """
    _write_configuration(home, {})
    command = [*_sam("build", home), "--template-file", str(REPOSITORY / "template.yaml"), "--cached", "--parallel"]
    command += ["--build-dir", str(home.sam / "build"), "--cache-dir", str(home.sam / "cache")]
    await processes.run(
        "`sam build`",
        command,
        log=home.log / "sam-build.log",
        environment=_sam_environment(home),
        cwd=REPOSITORY,
        deadline=_BUILD_SECONDS,
    )


async def deploy(
    home: Home, endpoint_url: str, stores: Stores, sms: Sms, speech: Speech, built: Path | None = None
) -> None:
    """Deploy what was built, or another release that `sam build` could have built.

    Raises:
        StackError: `sam deploy` failed; the release before it serves on, if there was one.

    """
    template = (built or home.sam / "build") / "template.yaml"
    await asyncio.to_thread(_make_bucket, endpoint_url)
    _write_configuration(
        home,
        {
            "LocalHost": endpoint_url.removeprefix("http://"),
            "TrafficShift": "Unwatched",
            "LambdaRuntime": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "DatabaseUrl": stores.database_url,
            "DatabaseOwnerUrl": stores.database_owner_url,
            "RedisUrl": stores.redis_url,
            "OpenSearchUrl": stores.opensearch_url,
            "SmsEndpoint": sms.endpoint,
            "SmsAccessKeyId": sms.access_key_id,
            "SmsAccessKeySecret": sms.access_key_secret,
            "SmsSignName": sms.sign_name,
            "SmsTemplateRegister": sms.template_codes["register"],
            "SmsTemplateLogin": sms.template_codes["login"],
            "SmsTemplateChangePhone": sms.template_codes["change_phone"],
            "SmsTemplateResetPassword": sms.template_codes["reset_password"],
            "SpeechTokenUrl": speech.token_url,
            "SpeechRecognitionUrl": speech.recognition_url,
            "SpeechAppId": speech.app_id,
            "SpeechApiKey": speech.api_key,
            "SpeechSecretKey": speech.secret_key,
        },
    )
    command = [*_sam("deploy", home), "--template-file", str(template)]
    command += ["--stack-name", STACK, "--s3-bucket", _BUCKET, "--capabilities", "CAPABILITY_IAM"]
    command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    await processes.run(
        "`sam deploy`",
        command,
        log=home.log / "sam-deploy.log",
        environment=_sam_environment(home) | {"AWS_ENDPOINT_URL": endpoint_url},
        cwd=REPOSITORY,
        deadline=_DEPLOY_SECONDS,
    )


def read_outputs(endpoint_url: str) -> Outputs:
    """Read the deployed stack's outputs.

    Raises:
        StackError: the stack or one of its outputs is not there.

    """
    try:
        answer = account().client("cloudformation", endpoint_url=endpoint_url).describe_stacks(StackName=STACK)
    except (ClientError, BotoCoreError) as error:
        msg = f"The deployed stack cannot be read: {error}"
        raise StackError(msg) from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}
    try:
        return Outputs(
            outputs["RestUrl"],
            outputs["WebSocketUrl"],
            outputs["UserReindexFunctionName"],
            outputs["MessageReindexFunctionName"],
        )
    except KeyError as missing:
        msg = f"The deployed template has no output {missing}."
        raise StackError(msg) from missing


def reindex(endpoint_url: str, function: str) -> None:
    """Let a search index be made anew.

    Raises:
        StackError: it failed.

    """
    _call("Filling a search index", endpoint_url, function, {"rebuild": True}, _REINDEX_SECONDS)


def _call(what: str, endpoint_url: str, function: str, payload: dict[str, Any], seconds: int) -> dict[str, Any]:
    patience = Config(read_timeout=seconds, retries={"total_max_attempts": 1})
    client = account().client("lambda", endpoint_url=endpoint_url, config=patience)
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
    except (ClientError, BotoCoreError) as error:
        msg = f"{what}: the function could not be called: {error}"
        raise StackError(msg) from error
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        msg = f"{what} failed with {result.get('errorType')}: {result.get('errorMessage')}"
        raise StackError(msg)
    return result


def account() -> boto3.Session:
    """Return the emulated account, whatever else the machine is configured for."""
    return boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


def _make_bucket(endpoint_url: str) -> None:
    bucket = account().resource("s3", endpoint_url=endpoint_url).Bucket(_BUCKET)
    try:
        bucket.create()
    except bucket.meta.client.exceptions.BucketAlreadyOwnedByYou:
        bucket.objects.delete()  # the emulator keeps objects, and would keep every package that was ever deployed
    except (ClientError, BotoCoreError) as error:
        msg = f"The bucket for the deployment could not be made: {error}"
        raise StackError(msg) from error


def _sam(command: str, home: Home) -> list[str]:
    sam = REPOSITORY / ".local" / "venv" / "sam" / "bin" / "sam"
    if not sam.exists():
        msg = "The SAM CLI is not installed; `python3 local/bootstrap.py` installs it."
        raise StackError(msg)
    return [str(sam), command, "--config-file", str(home.sam / "samconfig.toml")]


def _sam_environment(home: Home) -> dict[str, str]:
    settings = home.sam / "settings"
    settings.mkdir(exist_ok=True)
    # Its own notes, so that it neither writes into the developer's home nor asks the network for a newer version.
    (settings / "metadata.json").write_text(json.dumps({"telemetryEnabled": False, "lastVersionCheck": time.time()}))
    return (
        environment(home)
        | CREDENTIALS
        | {
            "__SAM_CLI_APP_DIR": str(settings),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
    )


def _write_configuration(home: Home, parameters: dict[str, str]) -> None:
    # In a private file, as the parameters hold passwords and a command line is open to every user of the machine.
    # A JSON string is a TOML string too.
    overrides = json.dumps([f"{name}={value}" for name, value in parameters.items()])
    write_private(
        home.sam / "samconfig.toml", f"version = 0.1\n[default.deploy.parameters]\nparameter_overrides = {overrides}\n"
    )
