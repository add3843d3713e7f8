"""Stand-ins for vendors whose services the product calls."""

import json
import sys
from typing import Any

from local.engines import HOST, Service, check_http, write_private

_SIGN_NAME = "鸿雁"
_TEMPLATE_CODES = {
    "register": "SMS_100000001",
    "login": "SMS_100000002",
    "change_phone": "SMS_100000003",
    "reset_password": "SMS_100000004",
}


class SmsVendor(Service):
    """The SMS vendor: an inbox on this machine."""

    name = "sms"
    title = "the SMS vendor's stand-in"

    @property
    def url(self) -> str:
        """What takes the place of the vendor's endpoint."""
        return f"http://{HOST}:{self.port}"

    @property
    def inbox_url(self) -> str:
        """Where what was sent can be read (contract, The local stack's addresses)."""
        return f"{self.url}/inbox"

    @property
    def account(self) -> dict[str, Any]:
        """The customer's account there, as the product's secret holds it."""
        return {
            "endpoint": self.url,
            "access_key_id": "local",
            "access_key_secret": self.home.secret(self.name),
            "sign_name": _SIGN_NAME,
            "template_codes": _TEMPLATE_CODES,
        }

    def prepare(self) -> None:
        """Write what the vendor knows of its customer."""
        known = {**self.account, "template_codes": list(_TEMPLATE_CODES.values())}
        write_private(self.home.path / "sms.json", json.dumps(known))

    def command(self) -> list[str]:
        """Return the server's command line."""
        return [sys.executable, "-m", "local.sms_vendor", str(self.port), str(self.home.path / "sms.json")]

    def check(self) -> None:
        """Ask for its health."""
        check_http(f"{self.url}/health")


class SpeechVendor(Service):
    """The speech vendor: a recogniser of English on this machine."""

    name = "speech"
    title = "the speech vendor's stand-in"

    @property
    def url(self) -> str:
        """Where it answers, and is told to fail."""
        return f"http://{HOST}:{self.port}"

    @property
    def account(self) -> dict[str, str]:
        """The customer's account there, as the product's secret holds it."""
        return {
            "token_url": f"{self.url}/oauth/2.0/token",
            "recognition_url": f"{self.url}/server_api",
            "app_id": "local",
            "api_key": "local",
            "secret_key": self.home.secret(self.name),
        }

    def prepare(self) -> None:
        """Write what the vendor knows of its customer."""
        known = {name: self.account[name] for name in ("api_key", "secret_key")}
        write_private(self.home.path / "speech.json", json.dumps(known))

    def command(self) -> list[str]:
        """Return the server's command line."""
        return [sys.executable, "-m", "local.speech_vendor", str(self.port), str(self.home.path / "speech.json")]

    def check(self) -> None:
        """Ask for its health."""
        check_http(f"{self.url}/health")
