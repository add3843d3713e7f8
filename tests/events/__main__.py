"""`python -m tests.events FUNCTION` prints a function's sample event, filled with what it makes on the local stack."""

import json
import sys
from typing import Any

import httpx

from local.home import REPOSITORY, read_json
from tests.events import make, sample


def main() -> None:
    """Print one event for `sam local invoke FUNCTION --event -`."""
    [function] = sys.argv[1:]
    endpoints = read_json(REPOSITORY / ".local" / "endpoints.json")
    if not endpoints:
        sys.exit("No stack is running; `make up` starts it.")
    with httpx.Client(base_url=endpoints["rest_url"], timeout=60) as http:

        def call(method: str, path: str, token: str | None, body: Any) -> Any:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            if isinstance(body, bytes):
                headers["Content-Type"] = "application/octet-stream"
                answer = http.request(method, path, headers=headers, content=body)
            else:
                answer = http.request(method, path, headers=headers, json=body)
            return answer.raise_for_status().json()

        # Nobody listens there: the migration function fails at its end, after it has migrated.
        values = make(call) | {"answer_url": "http://127.0.0.1:9/"}
        sys.stdout.write(json.dumps(sample(function, values), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
