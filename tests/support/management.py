"""API Gateway's `@connections` as an HTTP server: keeps what was posted, answers 410 for who has gone."""

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # the standard 5 loses connections when many come at once


class ManagementEndpoint:
    """Runs on a free loopback port until closed."""

    def __init__(self) -> None:
        self.posts = 0
        self.refused = threading.Event()  # somebody asked for a connection that is not open
        self._open: set[str] = set()
        self._failing: set[str] = set()
        self._hanging: dict[str, threading.Event] = {}
        self._frames: dict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/live"

    def open(self, connection_id: str) -> None:
        self._open.add(connection_id)

    def close(self, connection_id: str) -> None:
        self._open.discard(connection_id)

    def fail(self, connection_id: str, *, failing: bool = True) -> None:
        """Let posts to a connection fail with 403, which no client library tries again."""
        (self._failing.add if failing else self._failing.discard)(connection_id)

    def hang(self, connection_id: str) -> None:
        """Let posts to a connection go unanswered, until it is released; none of them arrives."""
        self._hanging[connection_id] = threading.Event()

    def release(self, connection_id: str) -> None:
        self._hanging.pop(connection_id).set()

    def is_open(self, connection_id: str) -> bool:
        return connection_id in self._open

    def frames(self, connection_id: str) -> list[str]:
        return list(self._frames[connection_id])

    def shut_down(self) -> None:
        for connection_id in list(self._hanging):
            self.release(connection_id)
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:  # noqa: C901  # one small method for each HTTP method
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                if (released := endpoint._hanging.get(self._connection_id())) is not None:
                    endpoint.posts += 1
                    released.wait()
                    self.close_connection = True
                    return
                with endpoint._lock:
                    endpoint.posts += 1
                    if self._refuse():
                        return
                    endpoint._frames[self._connection_id()].append(data)
                self._answer(200)

            def do_GET(self) -> None:
                with endpoint._lock:
                    if not self._refuse():
                        self._answer(200)

            def do_DELETE(self) -> None:
                with endpoint._lock:
                    if self._refuse():
                        return
                    endpoint._open.discard(self._connection_id())
                self._answer(204)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
                pass

            def _connection_id(self) -> str:
                return unquote(self.path.rpartition("/")[2])

            def _refuse(self) -> bool:
                if self._connection_id() in endpoint._failing:
                    self._answer(403, "ForbiddenException")
                elif self._connection_id() not in endpoint._open:
                    self._answer(410, "GoneException")
                    endpoint.refused.set()
                else:
                    return False
                return True

            def _answer(self, status: int, error: str | None = None) -> None:
                self.send_response(status)
                if error is not None:
                    self.send_header("x-amzn-errortype", error)
                self.send_header("content-length", "0")
                self.end_headers()

        return Handler
