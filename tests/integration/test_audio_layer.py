"""The layer of FFmpeg as it is built: what is taken out of PyAV's wheel is not missed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from local.packages import MOST_BYTES, zipped_size

_REPOSITORY = Path(__file__).parents[2]

# Video is what the layer cannot do any more; it must fail as any other codec that is not there, and not crash.
_TRY_VIDEO = """
import av
context = av.codec.CodecContext.create("libx265", "w")
context.width, context.height, context.pix_fmt, context.framerate = 64, 64, "yuv420p", 25
try:
    context.open()
except av.FFmpegError:
    print(av.__file__)
"""


def _built(folder: Path, pip_flags: str = "") -> Path:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["make", "build-AudioLayer", f"ARTIFACTS_DIR={folder}", f"LAYER_PIP_FLAGS={pip_flags}"]
    subprocess.run(command, cwd=_REPOSITORY / "layers" / "audio", env=environment, check=True, capture_output=True)  # noqa: S603
    return folder / "python"


def _flags_for_aws() -> str:
    makefile = (_REPOSITORY / "Makefile").read_text().replace("\\\n", " ")
    [flags] = re.findall(r"^AWS_LAYER_PIP_FLAGS := (.*)$", makefile, re.MULTILINE)
    return str(flags)


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the layer for this machine."""
    return _built(tmp_path_factory.mktemp("layer"))


def _run(layer: Path, *arguments: str) -> str:
    path = os.pathsep.join(map(str, (layer, _REPOSITORY, _REPOSITORY / "layers" / "core")))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=_REPOSITORY, env=environment, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_test_of_recordings_passes_on_the_layer_as_it_is_built(layer: Path) -> None:
    tests = str(_REPOSITORY / "tests" / "unit" / "speech" / "test_samples.py")

    _run(layer, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)


def test_a_coder_of_video_fails_and_does_not_crash(layer: Path) -> None:
    assert _run(layer, "-c", _TRY_VIDEO).startswith(str(layer))


def test_the_layer_for_aws_is_of_its_processor_and_within_the_limit(tmp_path: Path) -> None:
    layer = _built(tmp_path, _flags_for_aws())

    with next(layer.glob("av.libs/libavcodec-*")).open("rb") as library:
        assert ELFFile(library).get_machine_arch() == "AArch64"
    assert zipped_size(tmp_path) < MOST_BYTES
