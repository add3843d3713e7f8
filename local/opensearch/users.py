"""A user of a secured OpenSearch with the rights of the functions that search, or of those that index."""

from opensearchpy import OpenSearch

from functions.message.message_index import MESSAGES
from functions.user.user_index import PEOPLE
from local.opensearch.node import SecuredNode
from migrations import access


def let_in(node: SecuredNode, role: str) -> None:
    """Make the roles as the migration function does, empty indices, and a user who is a "reader" or a "writer".

    They may also ask whether the engine is there, as the local stack does before it starts.
    """
    with OpenSearch([node.url]) as client:
        for index in (PEOPLE, MESSAGES):
            body = {**index.definition, "aliases": {index.alias: {}}}
            client.indices.create(index=f"{index.alias}-v0", body=body)
        access.let_into_search(client, ["reader"], ["writer"])
        user = {"password": node.home.secret(f"opensearch-{role}"), "backend_roles": [role]}
        client.security.create_user(username=role, body=user)
        client.security.create_role(role="visitor", body={"cluster_permissions": ["cluster:monitor/main"]})
        client.security.create_role_mapping(role="visitor", body={"users": [role]})
