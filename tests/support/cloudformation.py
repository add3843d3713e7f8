"""CloudFormation as a custom resource hears of it: it is asked for something, and stores the answer at a link."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

IDS = {"StackId": "arn:stack", "RequestId": "1", "LogicalResourceId": "Migration"}


@contextmanager
def awaiting(request_type: str) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield a request, and the answers that were stored."""
    told: list[dict[str, Any]] = []

    class Told(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            assert self.headers["Content-Type"] == ""
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Told) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/answer?signature=abc"
        yield {"RequestType": request_type, "ResponseURL": url, **IDS}, told
        server.shutdown()
