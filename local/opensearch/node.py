"""One OpenSearch node, built from its Maven artifacts: no distribution to download, no container."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from local.engines import HOST, Service, check_http
from local.failures import StackError
from local.home import REPOSITORY

_PROJECT = Path(__file__).with_name("pom.xml")
_BUILD = REPOSITORY / ".local" / "opensearch" / "build"  # as it says there
_OLDEST_JDK = 17
_HINT = "OPENSEARCH_URL may name an OpenSearch that runs already instead."


class OpenSearchNode(Service):
    """OpenSearch itself, without security, its data thrown away at every start."""

    name = "opensearch"
    title = "OpenSearch"
    disposable = True

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{HOST}:{self.port}"

    def empty(self) -> None:
        """Remove what the last node kept."""
        for left in (self.home.tmp, self.home.log):
            shutil.rmtree(left)
        self.home.make()

    def prepare(self) -> None:
        """Compile the program and find what it needs; Maven Central is asked only for what is not here yet.

        Raises:
            StackError: there is no JDK or Maven, or the build failed.

        """
        maven = _find("mvn")
        _find_jdk()
        done = subprocess.run(
            [maven, "--quiet", "--batch-mode", f"--file={_PROJECT}", "compile"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        log = self.home.log / "maven.log"
        log.write_text(done.stdout)
        if done.returncode != 0:
            cause = re.search(r"\[ERROR\] (.*)", done.stdout)  # the first; then come repetitions and advice
            msg = f"OpenSearch could not be built: {cause[1] if cause else f'see {log}'} {_HINT}"
            raise StackError(msg)

    def command(self) -> list[str]:
        """Return the server's command line."""
        java = str(_find_jdk().with_name("java"))
        class_path = os.pathsep.join([str(_BUILD / "classes"), (_BUILD / "classpath").read_text()])
        return [java, "-Xms512m", "-Xmx512m", "-cp", class_path, "OpenSearchNode", str(self.home.tmp), str(self.port)]

    def check(self) -> None:
        """Ask for its version: it listens only once it is a cluster."""
        check_http(self.url)


def _find_jdk() -> Path:
    """Return the path of `javac`, which `java` is next to.

    Raises:
        StackError: there is none, or an old one.

    """
    javac = Path(_find("javac"))
    said = subprocess.run([javac, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r"javac (\d+)", said.stdout + said.stderr)
    if version is None or int(version[1]) < _OLDEST_JDK:
        msg = f"{javac} is not of a JDK {_OLDEST_JDK} or newer. {_HINT}"
        raise StackError(msg)
    return javac


def _find(program: str) -> str:
    of_java_home = [f"{os.environ['JAVA_HOME']}/bin"] if os.environ.get("JAVA_HOME") else []
    path = shutil.which(program, path=os.pathsep.join([*of_java_home, os.environ.get("PATH", os.defpath)]))
    if path is None:
        msg = f"{program} is not installed: OpenSearch needs Maven and a JDK {_OLDEST_JDK} or newer. {_HINT}"
        raise StackError(msg)
    return path
