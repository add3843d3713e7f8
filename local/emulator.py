"""ministack, the AWS emulator, run by our launcher in its own virtual environment."""

from pathlib import Path

from local.engines import HOST, Service, check_http
from local.failures import StackError
from local.home import REPOSITORY

REGION = "us-east-1"
# What the emulator takes for the account's owner. Nothing outside this machine knows them.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


class Emulator(Service):
    """Lambda, API Gateway, SNS, SQS and the rest, in one process and its workers."""

    name = "ministack"
    title = "ministack"

    @property
    def url(self) -> str:
        """The endpoint of every service."""
        return f"http://{HOST}:{self.port}"

    @property
    def _python(self) -> Path:
        return REPOSITORY / ".local" / "venv" / "ministack" / "bin" / "python"

    @property
    def _objects(self) -> Path:
        return self.home.data / "s3"

    def prepare(self) -> None:
        """Make the folder of S3's objects."""
        if not self._python.exists():
            msg = "ministack is not installed; `python3 local/bootstrap.py` installs it."
            raise StackError(msg)
        self._objects.mkdir(mode=0o700, exist_ok=True)

    def command(self) -> list[str]:
        """Return the launcher's command line."""
        return [
            str(self._python),
            "-m",
            "local.ministack_launcher",
            "--port",
            str(self.port),
            "--objects",
            str(self._objects),
            "--temporary",
            str(self.home.tmp / "ministack"),
        ]

    def check(self) -> None:
        """Ask for its health."""
        check_http(f"{self.url}/_ministack/health")
