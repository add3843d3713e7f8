"""docs/openapi.json, made of the modules' apps: `python -m tests.contract.openapi` writes it, `--check` compares it."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import hongyan
from fastapi import FastAPI
from hongyan.web import ProblemBody

from tests.support.template import rest_routes

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"

_DESCRIPTION = """\
Errors are RFC 9457 problems with a stable `code`; `Accept-Language: zh` or `en` chooses their words.
Every answer carries `X-Request-Id`. Lists take `limit` and `cursor` and answer `items` and `next_cursor`.
A call that makes something may be repeated when its answer was lost: with the same `Idempotency-Key` where it says so,
else as it is, with the same `client_id`, phone, person or device in it.
The WebSocket API is described in asyncapi.yaml."""


def document() -> dict[str, Any]:
    """Return the OpenAPI document of all modules together."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {
        "ProblemBody": ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    }
    for handler in dict.fromkeys(route.handler for route in rest_routes()):
        app: FastAPI = import_module(handler.rpartition(".")[0]).app
        name = handler.split(".")[1]
        of_module = app.openapi()
        for path, operations in of_module["paths"].items():
            for method, operation in operations.items():
                paths.setdefault(path, {})[method] = _finished(operation, name, method, path)
        schemas |= of_module["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hongyan", "version": hongyan.__version__, "description": _DESCRIPTION},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"access_token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _finished(operation: dict[str, Any], module: str, method: str, path: str) -> dict[str, Any]:
    """Add what the gateway knows: who may call; and replace FastAPI's own 422, which Hongyan never answers."""
    route = next(route for route in rest_routes() if route.matches(method.upper(), path))
    if operation["responses"].get("422", {}).get("description") == "Validation Error":
        del operation["responses"]["422"]
    return {"tags": [module], **operation, "security": [] if route.is_open else [{"access_token": []}]}


def main() -> None:
    """Write the document, or say that it is not what the apps are."""
    made = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv:
        DOCUMENT.write_text(made)
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != made:
        sys.exit("docs/openapi.json is not what the apps are: run `make openapi`.")


if __name__ == "__main__":
    main()
