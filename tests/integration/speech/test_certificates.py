"""The vendor is only spoken to if its certificate is right, whatever the SDK says: for tokens and for recognition."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from hongyan.errors import SpeechUnavailable
from pydantic import ValidationError

from functions.speech.recognition import BaiduRecognizer, SpeechAccount

SPEECH = bytes(3_200)


class Vendor(BaseHTTPRequestHandler):
    """Answers whoever gets through to it, and notes that."""

    asked: list[str]

    def do_GET(self) -> None:
        self._answer({"access_token": "token", "expires_in": 60})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer({"err_no": 0, "result": ["heard", "herd"]})

    def _answer(self, answer: dict[str, object]) -> None:
        self.asked.append(urlsplit(self.path).path)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server:
    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.asked: list[str] = []
        handler = type("OwnVendor", (Vendor,), {"asked": self.asked})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @contextmanager
    def serving(self) -> Iterator["Server"]:
        self._thread.start()
        yield self
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this machine trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    return authority


@pytest.fixture
def right(authority: trustme.CA) -> Iterator[Server]:
    with Server(authority.issue_cert("localhost")).serving() as server:
        yield server


Certificate = Callable[[trustme.CA], trustme.LeafCert]
WRONG: dict[str, Certificate] = {
    "of an authority that nobody trusts": lambda _: trustme.CA().issue_cert("localhost"),
    "of another name": lambda authority: authority.issue_cert("vop.baidu.example"),
    "that is over": lambda authority: authority.issue_cert("localhost", not_after=_long_ago()),
}


def _long_ago() -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(params=WRONG)
def wrong(authority: trustme.CA, request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(WRONG[request.param](authority)).serving() as server:
        yield server


def recognizer(tokens: Server, recognitions: Server) -> BaiduRecognizer:
    return BaiduRecognizer(
        SpeechAccount(
            token_url=f"{tokens.url}/oauth/2.0/token",
            recognition_url=f"{recognitions.url}/server_api",
            app_id="app",
            api_key="key",
            secret_key="secret",
        )
    )


def test_a_right_certificate_is_accepted(right: Server) -> None:
    assert recognizer(right, right).recognize(SPEECH, "en") == "heard"
    assert right.asked == ["/oauth/2.0/token", "/server_api"]


def test_a_wrong_one_is_not_asked_for_a_token(wrong: Server, right: Server) -> None:
    with pytest.raises(SpeechUnavailable):
        recognizer(wrong, right).recognize(SPEECH, "en")

    assert wrong.asked == right.asked == []


def test_a_wrong_one_gets_nothing_to_hear(wrong: Server, right: Server) -> None:
    with pytest.raises(SpeechUnavailable):
        recognizer(right, wrong).recognize(SPEECH, "en")

    assert wrong.asked == []
    assert right.asked == ["/oauth/2.0/token"]


def test_a_right_one_is_not_asked_before_its_authority_is_trusted(
    right: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    with pytest.raises(SpeechUnavailable):
        recognizer(right, right).recognize(SPEECH, "en")

    assert right.asked == []


@pytest.mark.parametrize("field", ["token_url", "recognition_url"])
@pytest.mark.parametrize(
    "url", ["http://vop.baidu.com/server_api", "http://127.0.0.1.example/", "http://10.0.0.1/", "ftp://127.0.0.1/", ""]
)
def test_an_address_in_the_clear_that_is_not_of_this_machine_is_refused(field: str, url: str) -> None:
    account = {
        "app_id": "",
        "api_key": "",
        "secret_key": "",
        "token_url": "https://a/",
        "recognition_url": "https://b/",
    }

    with pytest.raises(ValidationError):
        SpeechAccount.model_validate({**account, field: url})
