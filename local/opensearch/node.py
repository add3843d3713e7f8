"""One OpenSearch node, built from its Maven artifacts: no distribution to download, no container."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import trustme

from local.engines import HOST, Service, check_http, write_private
from local.failures import StackError
from local.home import REPOSITORY

_PROJECT = Path(__file__).with_name("pom.xml")
_BUILD = REPOSITORY / ".local" / "opensearch" / "build"  # as it says there
_OLDEST_JDK = 17
_ADMINISTRATOR = "administrator"
_SECURITY = {
    "plugins.security.allow_default_init_securityindex": True,
    "plugins.security.restapi.roles_enabled": ["all_access"],
    "plugins.security.ssl.transport.pemtrustedcas_filepath": "authority.pem",
    "plugins.security.ssl.transport.pemcert_filepath": "certificate.pem",
    "plugins.security.ssl.transport.pemkey_filepath": "key.pem",
}
_HINT = "OPENSEARCH_URL may name an OpenSearch that runs already instead."


class OpenSearchNode(Service):
    """OpenSearch itself, everything open to everybody, its data thrown away at every start."""

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
        class_path = self._class_path()
        return [
            _java(),
            "-Xms512m",
            "-Xmx512m",
            "-cp",
            class_path,
            "OpenSearchNode",
            str(self.home.tmp),
            str(self.port),
        ]

    def _class_path(self) -> str:
        return os.pathsep.join([str(_BUILD / "classes"), (_BUILD / "classpath").read_text()])

    def check(self) -> None:
        """Ask for its version: it listens only once it is a cluster."""
        check_http(self.url)


class SecuredNode(OpenSearchNode):
    """The same with OpenSearch's security plugin, as Amazon's domains have it: who may do what is asked each time.

    Its URL is that of an administrator, who may do everything; there is nobody else in the beginning.
    """

    title = "OpenSearch with security"

    @property
    def url(self) -> str:
        """Base URL for the administrator."""
        return self.url_for(_ADMINISTRATOR)

    def url_for(self, user: str) -> str:
        """Return the base URL for a user, with the password that they are to have."""
        return f"http://{user}:{self.home.secret(f'opensearch-{user}')}@{HOST}:{self.port}"

    @property
    def _configuration(self) -> Path:
        return self.home.tmp / "config"

    def prepare(self) -> None:
        """Do the same, and say who the administrator is and how nodes would know each other."""
        super().prepare()
        roles = self._configuration / "opensearch-security"
        shutil.copytree(_BUILD / "security" / "config", roles)
        administrator = {"hash": self._hash(self.home.secret(f"opensearch-{_ADMINISTRATOR}")), "backend_roles": ["all"]}
        users = {"_meta": {"type": "internalusers", "config_version": 2}, _ADMINISTRATOR: administrator}
        mapping = {"_meta": {"type": "rolesmapping", "config_version": 2}, "all_access": {"backend_roles": ["all"]}}
        # JSON is YAML too.
        write_private(roles / "internal_users.yml", json.dumps(users))
        write_private(roles / "roles_mapping.yml", json.dumps(mapping))
        authority = trustme.CA()
        certificate = authority.issue_cert(HOST)
        authority.cert_pem.write_to_path(self._configuration / "authority.pem")
        certificate.cert_chain_pems[0].write_to_path(self._configuration / "certificate.pem")
        write_private(self._configuration / "key.pem", certificate.private_key_pem.bytes().decode())
        write_private(self._configuration / "opensearch.yml", json.dumps(_SECURITY))

    def command(self) -> list[str]:
        """Return the server's command line."""
        return [*super().command(), str(self._configuration)]

    def _class_path(self) -> str:
        return os.pathsep.join([super()._class_path(), str(_BUILD / "security" / "*")])

    def _hash(self, password: str) -> str:
        """Return the hash of a password, as the plugin's own tool makes it."""
        tool = [_java(), "-cp", self._class_path(), "org.opensearch.security.tools.Hasher", "-env", "PASSWORD"]
        done = subprocess.run(
            tool, env=os.environ | {"PASSWORD": password}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            msg = f"The administrator of OpenSearch could not be made: {done.stderr.strip()}"
            raise StackError(msg)
        return done.stdout.strip().splitlines()[-1]


def _java() -> str:
    return str(_find_jdk().with_name("java"))


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
