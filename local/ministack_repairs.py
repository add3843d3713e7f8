"""Repairs to ministack 1.5.33, without which it is not enough like AWS to run Hongyan.

Each repair first asserts that the private names it touches are still there and the defect is still what it was, so that
a new version of ministack cannot be half-repaired in silence. `tests/integration/local` shows that each is needed.
"""

import asyncio
import hashlib
import importlib
import inspect
import io
import json
import os
import queue
import re
import signal
import tempfile
import textwrap
import threading
import zipfile
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path
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
        unpack_each_layer_once,
        end_logs_with_a_mark,
        keep_workers_whose_function_failed,
        answer_unauthorized_handshakes,
        close_on_binary_frames,
        close_on_large_frames,
        hide_errors_of_rest_functions,
        let_single_actions_allow_batches,
        let_stacks_take_over_persisted_buckets,
        give_parameters_to_sam,
        end_workers_when_asked_to_stop,
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


def unpack_each_layer_once() -> None:
    """Let the workers share one unpacked copy of a layer; stock unpacks all layers anew for each worker.

    A layer is read-only in AWS too. Unpacking is most of a cold start here: 60 MB for each function.
    """
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import lambda_svc  # noqa: PLC0415

    stock = lambda_runtime.Worker._spawn
    _source_holds(stock, "lzf.extractall(layer_dir)", "layers are unpacked otherwise")
    _source_holds(stock, "spawn_env = {**os.environ, **env_vars}", "a worker's environment is made otherwise")
    shared = Path(tempfile.mkdtemp(prefix="layers-"))
    unpacking = threading.Lock()

    def unpacked(layer: Any) -> str:
        archive: bytes = lambda_svc._resolve_layer_zip(layer)
        folder = shared / hashlib.sha256(archive).hexdigest()
        with unpacking:
            if not folder.exists():
                partial = folder.with_suffix(".partial")
                zipfile.ZipFile(io.BytesIO(archive)).extractall(partial)
                partial.rename(folder)
        return str(folder)

    def spawn(self: Any) -> None:
        config = self.config
        variables = dict((config.get("Environment") or {}).get("Variables") or {})
        variables["_LAMBDA_LAYERS_DIRS"] = os.pathsep.join(unpacked(layer) for layer in config.get("Layers") or [])
        self.config = {**config, "Layers": [], "Environment": {"Variables": variables}}
        try:
            stock(self)
        finally:
            self.config = config

    lambda_runtime.Worker._spawn = spawn


def end_logs_with_a_mark() -> None:
    """Let workers mark the end of each call's log, which is then read whole and at once.

    Stock waits 50 ms after each call that logged nothing, and 5 ms after each line; what comes later, it takes for the
    next call's.
    """
    from ministack.core import lambda_runtime  # noqa: PLC0415

    mark, longest_wait = "\x1e", 5.0  # seconds; a function may have closed the stream
    answered = "        _real_stdout.flush()\n\nrun()\n"
    worker, script = lambda_runtime.Worker, lambda_runtime._PYTHON_WORKER_SCRIPT
    _expect(script.endswith(answered), "workers answer otherwise")
    _source_holds(worker.invoke, "self._drain_stderr_bounded()", "logs are read otherwise")
    _source_holds(worker._read_stderr, "self._stderr_queue.put(line", "logs are collected otherwise")
    stock = worker._drain_stderr_bounded
    _source_holds(stock, "first_line_wait: float = 0.050", "logs are waited for otherwise")

    def drain(self: Any) -> str:
        if self._proc is None:  # it died, and marked nothing
            return str(stock(self))
        lines: list[str] = []
        while not lines or not lines[-1].endswith(mark):
            try:
                lines.append(self._stderr_queue.get(timeout=longest_wait))
            except queue.Empty:
                break
        return "\n".join(lines).removesuffix(mark).removesuffix("\n")

    lambda_runtime._PYTHON_WORKER_SCRIPT = script.removesuffix(answered) + (
        f"        sys.stderr.flush()\n        os.write(2, {(mark + chr(10)).encode()!r})\n{answered}"
    )
    worker._drain_stderr_bounded = drain


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


def close_on_large_frames() -> None:
    """Close a socket that sends a frame over 32 KiB, or a message over 128 KiB in several, with 1009, as AWS does.

    Stock, that is the server it runs on, takes messages of up to 16 MiB. https://docs.aws.amazon.com/apigateway/latest/
    developerguide/apigateway-execution-service-websocket-limits-table.html
    """
    ws_stream = importlib.import_module("hypercorn.protocol.ws_stream")
    largest_frame, largest_message = 32 * 1024, 128 * 1024  # bytes
    _source_holds(ws_stream.WSStream, "self.buffer.extend(event)", "messages are put together otherwise")
    _source_holds(ws_stream.WSStream, "except FrameTooLargeError:", "large messages are refused otherwise")
    stock = ws_stream.WebsocketBuffer.extend
    _source_holds(stock, "self.length > self.max_length", "messages are measured otherwise")

    def extend(self: Any, event: Any) -> None:
        self.max_length = largest_message
        data = event.data.encode() if isinstance(event.data, str) else event.data
        frame = getattr(self, "frame", 0) + len(data)
        if frame > largest_frame:
            raise ws_stream.FrameTooLargeError
        self.frame = 0 if event.frame_finished else frame
        stock(self, event)

    ws_stream.WebsocketBuffer.extend = extend


def hide_errors_of_rest_functions() -> None:
    """Answer 502 "Internal server error" when a REST function fails, as AWS does; stock answers the exception."""
    from ministack.services import apigateway_v1 as rest  # noqa: PLC0415

    stock = rest._lambda_proxy_response
    _source_holds(stock, 'return None, str(lambda_response.get("body")', "failures of functions are answered otherwise")

    def response(answer: dict[str, Any]) -> tuple[Any, str | None]:
        shown, error = stock(answer)
        return shown, None if error is None else "Internal server error"

    rest._lambda_proxy_response = response


def let_single_actions_allow_batches() -> None:
    """Let `sns:Publish` allow PublishBatch and `sqs:SendMessage` SendMessageBatch; stock denies them.

    In AWS there are no actions of the batches' names (service authorization reference).
    """
    from ministack.core import iam_actions  # noqa: PLC0415

    stock = iam_actions.extract_iam_action
    single = {"sns:PublishBatch": "sns:Publish", "sqs:SendMessageBatch": "sqs:SendMessage"}
    known = inspect.getsource(iam_actions)
    _expect("PublishBatch" not in known and "SendMessageBatch" not in known, "batches have actions by now")

    def extract_iam_action(*arguments: Any, **options: Any) -> str | None:
        action: str | None = stock(*arguments, **options)
        return action if action is None else single.get(action, action)

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


def give_parameters_to_sam() -> None:
    """Hand the stack's parameters to SAM's transform, which decides by some of them what to make.

    Stock hands it none, so it goes by their defaults.
    """
    from ministack.services.cloudformation import changesets, engine, handlers  # noqa: PLC0415

    sam: Any = importlib.import_module("samtranslator.translator.transform")
    _source_holds(
        engine._apply_transforms, "_sam_transform(copy.deepcopy(template), {},", "SAM is given parameters by now"
    )
    stock_apply, stock_transform = engine._apply_transforms, sam.transform
    given: ContextVar[dict[str, str]] = ContextVar("given")

    def transform(template: Any, _: Any, loader: Any) -> Any:
        return stock_transform(template, given.get(), loader)

    def apply(template: Any, provided: Any = None, previous: Any = None) -> Any:
        given.set(engine._transform_parameters(template, provided, previous))
        return stock_apply(template, provided, previous)

    sam.transform = transform
    for module in (engine, changesets, handlers):
        module._apply_transforms = apply


def end_workers_when_asked_to_stop() -> None:
    """End running functions 5 s after SIGTERM; stock waits for them, that is as long as a migration may take.

    By then the server has given up its connections, after 3 s, and the routes for $disconnect were called.
    """
    from ministack import app  # noqa: PLC0415
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import lambda_svc  # noqa: PLC0415

    grace = 5.0  # seconds
    server: Any = importlib.import_module("hypercorn.asyncio")
    _source_holds(app.main, "from hypercorn.asyncio import serve as hypercorn_serve", "the server is run otherwise")
    _source_holds(app.main, "hypercorn_serve(app, config)", "the server is stopped otherwise")
    _source_holds(lambda_svc._execute_function_warm, 'reason == "func_cap"', "workers are refused otherwise")
    stock = server.serve

    def end_workers() -> None:
        lambda_svc.acquire_worker = lambda *_, **__: (None, "func_cap")
        lambda_runtime.reset()

    async def serve(application: Any, config: Any) -> None:
        asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, asked.set)

        async def stop() -> None:
            await asked.wait()
            timer = threading.Timer(grace, end_workers)
            timer.daemon = True
            timer.start()

        await stock(application, config, shutdown_trigger=stop)

    server.serve = serve
