"""Who may do what in the stores, as the migration function says it: whoever runs as a function changes no table."""

from typing import Any

import pytest
import sqlalchemy as sa
from hongyan import stores

from migrations import access, owner
from tests.support.deployment import Deployment


def code_of(error: sa.exc.DBAPIError) -> int:
    """Return MySQL's number of an error."""
    assert error.orig is not None
    code: int = error.orig.args[0]
    return code


@pytest.mark.usefixtures("deployment")
def test_functions_have_the_four_rights_on_rows_and_no_others() -> None:
    with stores.engine().connect() as connection:
        user = connection.scalar(sa.text("SELECT CURRENT_USER()"))
        grants = {grant.partition(" TO ")[0] for grant in connection.scalars(sa.text("SHOW GRANTS"))}

    assert user == "hongyan_functions@%"
    assert grants == {"GRANT USAGE ON *.*", "GRANT SELECT, INSERT, UPDATE, DELETE ON `hongyan`.*"}


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE another (id INT)",
        "ALTER TABLE users ADD COLUMN another INT",
        "DROP TABLE outbox",
        "TRUNCATE TABLE outbox",
        "CREATE INDEX another ON users (id)",
        "CREATE VIEW another AS SELECT 1",
        "CREATE TRIGGER another BEFORE INSERT ON users FOR EACH ROW SET @a = 1",
        "SELECT * FROM mysql.user",
        "CREATE USER another",
        "GRANT SELECT ON hongyan.* TO hongyan",
        "SELECT * FROM users INTO OUTFILE 'another'",
    ],
)
def test_functions_are_refused_what_is_not_about_rows(statement: str) -> None:
    with stores.engine().connect() as connection, pytest.raises(sa.exc.DBAPIError) as refused:
        connection.execute(sa.text(statement))

    # Access denied, to a database, a user, a table and whatever else (MySQL error reference).
    assert code_of(refused.value) in {1044, 1045, 1142, 1227}


@pytest.mark.usefixtures("deployment")
def test_a_changed_password_passes_once_migrations_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = stores.addresses()
    url = sa.make_url(before.database_url)
    changed = url.set(password="changed").render_as_string(hide_password=False)
    monkeypatch.setattr(stores, "addresses", lambda: before.model_copy(update={"database_url": changed}))

    access.grant()

    assert signs_in(changed)
    assert not signs_in(before.database_url)
    monkeypatch.undo()
    access.grant()
    assert signs_in(before.database_url)


def signs_in(url: str) -> bool:
    engine = sa.create_engine(url)
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        if code_of(error) != 1045:  # access denied
            raise
        return False
    return True


@pytest.mark.usefixtures("deployment")
def test_where_everybody_signs_in_by_iam_the_user_has_no_password() -> None:
    """The plugin is only in AWS: that it is asked for is all that can be seen here."""
    before = stores.addresses()
    new = sa.make_url(before.database_url).set(username="signs_in_by_iam").render_as_string()
    iam = stores.IamUser(cache_name="cache", cache_user="functions")
    said = before.model_copy(update={"database_url": new, "iam": iam})

    with owner.engine().connect() as connection, pytest.raises(sa.exc.OperationalError) as refused:
        access.let_into_database(connection, said)

    assert refused.value.orig is not None
    assert refused.value.orig.args == (1524, "Plugin 'AWSAuthenticationPlugin' is not loaded")


def test_the_owner_signs_in_as_somebody_else(deployment: Deployment) -> None:
    def user(engine: sa.Engine) -> Any:
        with engine.connect() as connection:
            return connection.scalar(sa.text("SELECT CURRENT_USER()"))

    assert user(owner.engine()) == "hongyan@127.0.0.1"
    assert user(stores.engine()) != user(owner.engine())
