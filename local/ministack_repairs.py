"""Repairs to ministack 1.5.33, without which it is not enough like AWS to run Hongyan.

Each repair first asserts that the private names it touches are still there and the defect is still what it was, so that
a new version of ministack cannot be half-repaired in silence. `tests/integration/local` shows that each is needed.
"""

import inspect
import json
import re
import textwrap
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

VERSION = "1.5.33"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RepairError(Exception):
    """ministack is not as the repairs know it."""


def apply_all() -> None:
    """Repair the ministack of this process.

    Raises:
        RepairError: it is another version, or does not have a defect any more.

    """
    _expect(version("ministack") == VERSION, f"the repairs are for ministack {VERSION}, not {version('ministack')}")
    for repair in (
        answer_any_method,
        import_gateway_responses,
        tell_denials_their_context,
        run_socket_functions_side_by_side,
        do_not_wait_for_silence,
        keep_workers_whose_function_failed,
        answer_unauthorized_handshakes,
        close_on_binary_frames,
        hide_errors_of_rest_functions,
        let_publish_allow_batches,
        let_stacks_take_over_persisted_buckets,
    ):
        try:
            repair()
        except (AttributeError, ImportError, KeyError) as missing:
            raise RepairError(f"ministack cannot be repaired: {repair.__name__} misses {missing}.") from missing


def _expect(condition: bool, what: str) -> None:  # noqa: FBT001  # reads as a sentence where it is called
    if not condition:
        raise RepairError(f"ministack cannot be repaired: {what}.")


def _source_holds(function: Callable[..., Any], text: str, what: str) -> None:
    _expect(text in inspect.getsource(function), what)


def answer_any_method() -> None:
    """Import `x-amazon-apigateway-any-method` of an OpenAPI body; stock drops it, and every such path answers 403."""
    from ministack.services import apigateway_v1 as rest  # noqa: PLC0415

    any_method = "x-amazon-apigateway-any-method"
    _expect(any_method not in rest._OPENAPI_HTTP_METHODS, "the import of OpenAPI knows ANY by now")
    _source_holds(rest._import_path_item, "in _OPENAPI_HTTP_METHODS", "the import of OpenAPI changed")
    stock = rest._import_path_item
    rest._OPENAPI_HTTP_METHODS = {*rest._OPENAPI_HTTP_METHODS, "any"}

    def import_path_item(api_id: str, path: str, path_item: dict[str, Any], *arguments: Any) -> None:
        renamed = {"ANY" if name == any_method else name: operation for name, operation in path_item.items()}
        stock(api_id, path, renamed, *arguments)

    rest._import_path_item = import_path_item


def import_gateway_responses() -> None:
    """Import `x-amazon-apigateway-gateway-responses` of an OpenAPI body, where SAM puts them; stock drops them."""
    from ministack.services import apigateway_v1 as rest  # noqa: PLC0415

    extension = "x-amazon-apigateway-gateway-responses"
    _expect(extension not in inspect.getsource(rest), "the import of OpenAPI knows gateway responses by now")
    stock = rest._import_rest_api

    def import_rest_api(spec: dict[str, Any], base: dict[str, Any] | None = None) -> str:
        api_id: str = stock(spec, base)
        for response_type, response in (spec.get(extension) or {}).items():
            rest._put_gateway_response(api_id, response_type, response)
        return api_id

    rest._import_rest_api = import_rest_api


def tell_denials_their_context() -> None:
    """Fill `$context.authorizer.X` into gateway responses from what the authorizer said; stock sends these very words.

    Its context travels to the answer beside the policy: the policy is what the cache keeps and what is evaluated.
    """
    from ministack.services import apigateway_v1 as rest  # noqa: PLC0415

    _expect(
        "context.authorizer" not in inspect.getsource(rest._gateway_error_response), "denials have a context by now"
    )
    _source_holds(
        rest._authorize_request_v1, 'policy_doc = policy.get("policyDocument")', "authorizers answer otherwise"
    )
    _source_holds(
        rest._authorize_request_v1, "_evaluate_policy(policy_doc, method_arn)", "policies are judged otherwise"
    )
    stock_invoke, stock_evaluate = rest._invoke_authorizer_lambda, rest._evaluate_policy
    stock_response = rest._gateway_error_response
    said: ContextVar[dict[str, str]] = ContextVar("said", default={})  # noqa: B039  # never changed in place

    async def invoke(*arguments: Any) -> Any:
        answer = await stock_invoke(*arguments)
        body = (answer or {}).get("body")
        if not isinstance(body, dict) or not isinstance(body.get("policyDocument"), dict):
            return answer
        context = rest._stringify_context(body.get("context"))
        return {**answer, "body": {**body, "policyDocument": {**body["policyDocument"], "context": context}}}

    def evaluate(policy: dict[str, Any], method_arn: str) -> Any:
        said.set(policy.get("context", {}))
        return stock_evaluate(policy, method_arn)

    def response(error: Any, request: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = stock_response(error, request)
        context = said.get() if error.response_type == "ACCESS_DENIED" else {}
        filled = re.sub(r"\$context\.authorizer\.(\w+)", lambda match: context.get(match[1], ""), body.decode())
        return status, headers, filled.encode()

    rest._invoke_authorizer_lambda, rest._evaluate_policy = invoke, evaluate
    rest._gateway_error_response = response


def run_socket_functions_side_by_side() -> None:
    """Run functions behind socket routes as all others are run: a worker for each call at a time, and their logs kept.

    Stock runs them one at a time on one worker, keeps no logs, and sends the text of an exception to the client; AWS
    sends "Internal server error".
    """
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import apigateway, lambda_svc  # noqa: PLC0415

    _source_holds(apigateway._invoke_ws_lambda, "worker = get_or_create_worker(", "socket functions run otherwise")
    _source_holds(lambda_runtime.get_or_create_worker, "release_worker(worker)", "workers are leased by now")

    class Dispatched:
        """Stands for a worker: hands the call to the dispatcher that every other caller uses."""

        def __init__(self, config: dict[str, Any], code_zip: bytes) -> None:
            self._function = {"code_zip": code_zip, "config": config}

        def invoke(self, event: dict[str, Any], _: str) -> dict[str, Any]:
            answer = lambda_svc._execute_function(self._function, event)
            if answer.get("error"):
                context = event["requestContext"]
                ids = {"connectionId": context["connectionId"], "requestId": context["requestId"]}
                return {"status": "error", "error": json.dumps({"message": "Internal server error", **ids})}
            return {"status": "ok", "result": answer.get("body")}

    def get_or_create_worker(_: str, config: dict[str, Any], code_zip: bytes, **__: Any) -> Dispatched:
        return Dispatched(config, code_zip)

    lambda_runtime.get_or_create_worker = get_or_create_worker


def do_not_wait_for_silence() -> None:
    """Wait 2 ms for a line of log after a call; stock waits 50 ms after each call that wrote none."""
    from ministack.core.lambda_runtime import Worker  # noqa: PLC0415

    stock = Worker._drain_stderr_bounded
    waits = inspect.signature(stock).parameters.get("first_line_wait")
    _expect(waits is not None and waits.default == 0.050, "the wait for logs changed")  # noqa: PLR2004

    def drain(self: Worker) -> str:
        text: str = stock(self, first_line_wait=0.002, idle_confirm=0.001)
        return text

    Worker._drain_stderr_bounded = drain


def keep_workers_whose_function_failed() -> None:
    """Keep a worker warm after its function raised, as AWS does; stock ends it, and the next call is a cold start.

    One condition in the middle of a method is the whole defect: the method is compiled again with it narrowed. An
    answer with a `trace` comes from a worker that caught what its function raised and waits for the next call.
    """
    from ministack.core import lambda_runtime  # noqa: PLC0415

    condition = 'if response.get("status") == "error":'
    source = textwrap.dedent(inspect.getsource(lambda_runtime.Worker.invoke))
    _expect(source.count(condition) == 1, "workers end otherwise")
    _expect('"trace": traceback.format_exc()' in lambda_runtime._PYTHON_WORKER_SCRIPT, "workers answer otherwise")
    narrowed = source.replace(condition, f'{condition[:-1]} and "trace" not in response:')
    namespace: dict[str, Any] = {}
    exec(compile(narrowed, lambda_runtime.__file__, "exec"), vars(lambda_runtime), namespace)  # noqa: S102  # see above
    lambda_runtime.Worker.invoke = namespace["invoke"]


def answer_unauthorized_handshakes() -> None:
    """Answer 401 when a socket's authorizer fails with just "Unauthorized", as AWS does; stock answers 500."""
    from ministack.core.concurrency import run_reentrant  # noqa: PLC0415
    from ministack.services import apigateway, lambda_svc  # noqa: PLC0415

    _source_holds(
        apigateway._authorize_ws_connect, "_invoke_request_authorizer_lambda(", "authorizers are called otherwise"
    )
    _source_holds(apigateway._invoke_request_authorizer_lambda, 'result.get("error")', "authorizers fail otherwise")
    _expect(apigateway.run_reentrant is run_reentrant, "authorizers run otherwise")
    stock_authorize = apigateway._authorize_ws_connect

    class UnauthorizedError(Exception):
        pass

    async def invoke(authorizer: dict[str, Any], event: dict[str, Any], account_id: str, region: str) -> Any:
        ref = apigateway._extract_lambda_ref_from_integration_uri(authorizer.get("authorizerUri", ""))
        function, config, _ = lambda_svc._get_func_record_for_ref_in_scope(ref, account_id=account_id, region=region)
        if function is None or config is None:
            return None
        record = lambda_svc._execution_record_for_config(function, config)
        answer = await run_reentrant(lambda_svc._execute_function_with_config_scope, record, event)
        body = answer.get("body")
        if not answer.get("error"):
            return body
        if isinstance(body, dict) and body.get("errorMessage") == "Unauthorized":
            raise UnauthorizedError
        return None

    async def authorize(*arguments: Any) -> Any:
        try:
            return await stock_authorize(*arguments)
        except UnauthorizedError:
            return (401, "Unauthorized"), None

    apigateway._invoke_request_authorizer_lambda = invoke
    apigateway._authorize_ws_connect = authorize


def close_on_binary_frames() -> None:
    """Close a socket that sends a binary frame with 1003, as AWS does; stock takes it for text."""
    from ministack.services import apigateway  # noqa: PLC0415

    _source_holds(apigateway.handle_websocket, "frame_bytes.decode(", "binary frames are handled otherwise")
    stock = apigateway.handle_websocket

    async def handle(scope: Any, receive: Receive, send: Send, *arguments: Any, **options: Any) -> None:
        async def receive_text() -> dict[str, Any]:
            message = await receive()
            if message.get("type") != "websocket.receive" or message.get("text") is not None:
                return message
            await send({"type": "websocket.close", "code": 1003})
            return {"type": "websocket.disconnect", "code": 1003}

        await stock(scope, receive_text, send, *arguments, **options)

    apigateway.handle_websocket = handle


def hide_errors_of_rest_functions() -> None:
    """Answer 502 "Internal server error" when a REST function fails, as AWS does; stock answers the exception."""
    from ministack.services import apigateway_v1 as rest  # noqa: PLC0415

    stock = rest._lambda_proxy_response
    _source_holds(stock, 'return None, str(lambda_response.get("body")', "failures of functions are answered otherwise")

    def response(answer: dict[str, Any]) -> tuple[Any, str | None]:
        shown, error = stock(answer)
        return shown, None if error is None else "Internal server error"

    rest._lambda_proxy_response = response


def let_publish_allow_batches() -> None:
    """Let `sns:Publish` allow PublishBatch, as in AWS, where no action of the batch's name exists; stock denies it."""
    from ministack.core import iam_actions  # noqa: PLC0415

    stock = iam_actions.extract_iam_action
    _expect("PublishBatch" not in inspect.getsource(iam_actions), "PublishBatch has an action of its own by now")

    def extract_iam_action(*arguments: Any, **options: Any) -> str | None:
        action: str | None = stock(*arguments, **options)
        return "sns:Publish" if action == "sns:PublishBatch" else action

    iam_actions.extract_iam_action = extract_iam_action


def let_stacks_take_over_persisted_buckets() -> None:
    """Let a stack make a bucket whose objects were persisted, and have them; stock fails, as the name is taken.

    The stack is a new one at each start, while the objects stay: once for each bucket that was on disk at the start.
    """
    from ministack.core.responses import get_account_id  # noqa: PLC0415
    from ministack.services import s3  # noqa: PLC0415
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415

    _source_holds(provisioners._s3_create, "_s3._bucket_owner_account(name) is not None", "buckets are made otherwise")
    stock_conflict, stock_create = provisioners.s3_bucket_name_conflict, provisioners._s3_create
    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    _expect(handlers["create"] is stock_create, "buckets are made by another function")
    persisted = set(s3._buckets._data)

    def conflict(name: str) -> str | None:
        return None if (get_account_id(), name) in persisted else stock_conflict(name)

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        key = (get_account_id(), properties.get("BucketName"))
        if key not in persisted:
            return stock_create(logical_id, properties, stack_name)
        persisted.remove(key)
        kept = s3._buckets._data.pop(key)
        name, attributes = stock_create(logical_id, properties, stack_name)
        s3._buckets[name]["objects"].update(kept["objects"])
        return name, attributes

    provisioners.s3_bucket_name_conflict = conflict
    handlers["create"] = provisioners._s3_create = create
