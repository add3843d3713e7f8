"""What stands for a password: a signed request to connect, as AWS makes and checks them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import sqlalchemy as sa
from hongyan import aws, iam

CORE = Path(__file__).parents[3] / "layers" / "core"
DATABASE = sa.make_url("mysql+pymysql://hongyan_functions@proxy.example:3306/hongyan")


@pytest.fixture(autouse=True)
def role(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Be a function, with the credentials of its role."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFUNCTION")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the role")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of/this+hour=")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-southeast-1")
    aws.session.cache_clear()
    yield monkeypatch
    aws.session.cache_clear()


def parts(token: str) -> tuple[str, str, dict[str, str]]:
    """Return what a token says: host, path and parameters."""
    url = urlsplit(f"https://{token}")
    return url.netloc, url.path, {name: value for name, [value] in parse_qs(url.query).items()}


def test_a_database_token_names_host_user_and_region_and_lasts_a_quarter_of_an_hour() -> None:
    host, path, said = parts(iam.database_token(DATABASE))

    assert (host, path) == ("proxy.example:3306", "/")
    assert (said["Action"], said["DBUser"], said["X-Amz-Expires"]) == ("connect", "hongyan_functions", "900")
    key, _, *scope = said["X-Amz-Credential"].split("/")
    assert (key, scope) == ("AKIAFUNCTION", ["ap-southeast-1", "rds-db", "aws4_request"])
    assert said["X-Amz-Security-Token"] == "of/this+hour="


def test_a_database_token_is_the_one_that_boto3_makes() -> None:
    rds = boto3.Session().client("rds")  # another test may have made the default one, with other credentials
    ours = theirs = ""
    while ours != iam.database_token(DATABASE):  # signatures bear the second in which they were made
        ours = iam.database_token(DATABASE)
        theirs = rds.generate_db_auth_token(DBHostname="proxy.example", Port=3306, DBUsername="hongyan_functions")

    assert ours == theirs


def test_a_cache_token_names_cache_user_and_region_and_lasts_a_quarter_of_an_hour() -> None:
    user, token = iam.CacheCredentials("hongyan-cache", "hongyan-functions").get_credentials()
    host, path, said = parts(token)

    assert (user, host, path) == ("hongyan-functions", "hongyan-cache", "/")
    assert (said["Action"], said["User"], said["X-Amz-Expires"]) == ("connect", "hongyan-functions", "900")
    assert said["X-Amz-Credential"].endswith("/ap-southeast-1/elasticache/aws4_request")


def test_another_role_has_another_token(role: pytest.MonkeyPatch) -> None:
    before = iam.database_token(DATABASE)
    role.setenv("AWS_ACCESS_KEY_ID", "AKIAANOTHER")
    aws.session.cache_clear()

    assert "AKIAANOTHER" not in before
    assert "AKIAANOTHER" in iam.database_token(DATABASE)


def test_who_signs_in_by_password_imports_none_of_it() -> None:
    code = "import sys; from hongyan import stores; print(*{'hongyan.iam', 'opensearchpy'} & {*sys.modules})"

    said = subprocess.check_output([sys.executable, "-c", code], env={"PYTHONPATH": str(CORE)}, text=True)  # noqa: S603

    assert said.strip() == ""
