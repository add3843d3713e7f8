"""Who may do what in the stores: said at every deployment, so that it is what the code says, whatever was before."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from hongyan import stores

from migrations import owner

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

_SEARCH_SECONDS = 30

# What functions do with rows. Tables are the owner's affair.
_GRANT: Final = "GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO :user@'%'"
_MAKE: Final = "CREATE USER IF NOT EXISTS :user@'%' {proof}"
_CHANGE: Final = "ALTER USER :user@'%' {proof}"  # who was there before may have proved it otherwise
_BY_PASSWORD: Final = "IDENTIFIED BY :password"  # noqa: S105  # it is bound
_BY_IAM: Final = "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL"

# Names are those of OpenSearch's security plugin ("Permissions" in its documentation).
_INDICES: Final = ["users*", "messages*"]
_READER: Final[dict[str, Any]] = {
    "cluster_permissions": ["cluster:monitor/main"],
    "index_permissions": [{"index_patterns": _INDICES, "allowed_actions": ["indices:data/read/search*"]}],
}
_WRITER: Final[dict[str, Any]] = {
    "cluster_permissions": ["indices:data/write/bulk", "indices:admin/index_template/put"],
    "index_permissions": [
        {
            "index_patterns": _INDICES,
            "allowed_actions": [
                "indices:data/write/bulk*",
                "indices:data/write/index",
                "indices:admin/create",
                "indices:admin/get",
                "indices:admin/delete",
                "indices:admin/aliases*",
                "indices:admin/mapping/put",
                "indices:admin/refresh*",
            ],
        }
    ],
}


def grant() -> None:
    """Let the functions, by whatever they sign in, do with rows and documents what they do, and nothing else."""
    with owner.engine().begin() as connection:
        let_into_database(connection, stores.addresses())
    if stores.addresses().iam is not None:
        roles = owner.settings()
        let_into_search(stores.search_client(), roles.search_reader_roles, roles.search_writer_roles)


def let_into_database(connection: sa.Connection, addresses: stores.StoreAddresses) -> None:
    """Make the functions' user, prove them by their password or by IAM, and give them their rights."""
    url = sa.make_url(addresses.database_url)
    user = {"user": url.username, "password": url.password}
    proof = _BY_PASSWORD if addresses.iam is None else _BY_IAM
    database = connection.dialect.identifier_preparer.quote_identifier(str(url.database))
    for statement in (_MAKE, _CHANGE, _GRANT):
        connection.execute(sa.text(statement.format(proof=proof, database=database)), user)


def let_into_search(client: "OpenSearch", readers: Sequence[str], writers: Sequence[str]) -> None:
    """Make the two roles of the search engine, and give them to functions by their IAM roles.

    Raises:
        opensearchpy.exceptions.OpenSearchException: it does not answer, or not to this function.

    """
    patience = {"request_timeout": _SEARCH_SECONDS}
    for name, role, functions in (("hongyan_reader", _READER, readers), ("hongyan_writer", _WRITER, writers)):
        client.security.create_role(role=name, body=role, params=patience)
        client.security.create_role_mapping(role=name, body={"backend_roles": [*functions]}, params=patience)
