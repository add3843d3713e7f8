"""The custom resource `Migration`: CloudFormation calls it before any other function is made or changed.

Custom resources answer by a PUT of JSON to a signed URL (AWS CloudFormation guide, Custom resource request and response
reference). The libraries for it speak TLS only, which the local emulator does not.
"""

import json
from typing import Any, Literal

import urllib3
from hongyan.observability import logger

from migrations.schema import migrate

# Of every stack the same: the database outlives what migrates it.
_PHYSICAL_ID = "schema"
_MOST_REASON = 1_000  # of the 4 KiB that an answer may have
_RETRIES = urllib3.Retry(total=5, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504), allowed_methods=["PUT"])


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001  # Lambda's signature
    """Migrate when the stack is made or changed; leave everything where it is when the stack is deleted.

    A failure is told to CloudFormation, which then rolls the deployment back, and not raised: Lambda would try again.

    Raises:
        urllib3.exceptions.HTTPError: CloudFormation cannot be told; it gives up after the resource's ServiceTimeout.

    """
    if event["RequestType"] == "Delete":
        _tell(event, "SUCCESS")
        return
    try:
        revision = migrate()
    except Exception as error:  # noqa: BLE001  # whatever it was: it ends the deployment
        logger.exception("the migration failed")
        _tell(event, "FAILED", Reason=f"{type(error).__name__}: {error}"[:_MOST_REASON])
    else:
        _tell(event, "SUCCESS", Data={"Revision": revision})


def _tell(event: dict[str, Any], status: Literal["SUCCESS", "FAILED"], **more: object) -> None:
    ids = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer = {"Status": status, "PhysicalResourceId": _PHYSICAL_ID, **ids, **more}
    # The signature of the URL covers an empty content type.
    response = urllib3.PoolManager(timeout=10).request(
        "PUT", event["ResponseURL"], body=json.dumps(answer), headers={"Content-Type": ""}, retries=_RETRIES
    )
    if response.status != 200:  # noqa: PLR2004  # OK
        msg = f"CloudFormation answered {response.status}"
        raise urllib3.exceptions.HTTPError(msg)
