"""Who may do what in a group (architecture, Who may what in a group; a test holds the two equal)."""

from typing import Literal

from hongyan.schemas import Role

Action = Literal[
    "send",
    "mention everyone",
    "recall what others said",
    "see members",
    "invite",
    "leave",
    "change name, announcement, avatar",
    "remove a member",
    "remove an admin",
    "give and take admin",
    "hand over",
    "dissolve",
]

PERMISSIONS: dict[Action, frozenset[Role]] = {
    "send": frozenset({"owner", "admin", "member"}),
    "mention everyone": frozenset({"owner", "admin"}),
    "recall what others said": frozenset({"owner", "admin"}),
    "see members": frozenset({"owner", "admin", "member"}),
    "invite": frozenset({"owner", "admin", "member"}),
    "leave": frozenset({"admin", "member"}),
    "change name, announcement, avatar": frozenset({"owner", "admin"}),
    "remove a member": frozenset({"owner", "admin"}),
    "remove an admin": frozenset({"owner"}),
    "give and take admin": frozenset({"owner"}),
    "hand over": frozenset({"owner"}),
    "dissolve": frozenset({"owner"}),
}


def may(role: Role | None, action: Action) -> bool:
    """Tell whether a member of this role may do this."""
    return role in PERMISSIONS[action]
