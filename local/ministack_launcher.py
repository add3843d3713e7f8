"""Runs ministack on loopback with our repairs. Started with the interpreter of ministack's own virtual environment.

    python -m local.ministack_launcher --port 4566 --objects DIR --temporary DIR

The temporary folder is emptied at start and removed at stop, since ministack leaves its workers' code in there; the
other one keeps the objects of S3 between runs. The control plane is fresh at each start and deployed again: what
ministack can save of it, it saves only when it stops cleanly.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from local import ministack_repairs


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server is up and listens to it
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--temporary", type=Path, required=True)
    arguments = parser.parse_args()
    temporary = arguments.temporary.resolve()
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _configure(arguments.port, temporary, arguments.objects.resolve())
    try:
        _serve()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _configure(port: int, temporary: Path, objects: Path) -> None:
    # ministack reads all of these when it is imported.
    os.environ.update(
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        MINISTACK_HOST="localhost",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",  # what functions are given
        IOT_MTLS_ENABLED="0",  # otherwise an MQTT listener opens on every interface
        AUTH="true",  # IAM policies are enforced
        S3_PERSIST="1",
        S3_DATA_DIR=str(objects),
        TMPDIR=str(temporary),
    )
    tempfile.tempdir = str(temporary)


def _serve() -> None:
    try:
        ministack_repairs.apply_all()
    except ministack_repairs.RepairError as error:
        sys.exit(str(error))
    from ministack.app import main as serve  # noqa: PLC0415
    from ministack.core import lambda_runtime  # noqa: PLC0415

    sys.argv = sys.argv[:1]  # ministack parses it too
    try:
        serve()
    finally:
        lambda_runtime.reset()  # the workers that began while it stopped


if __name__ == "__main__":
    main()
