"""What it costs: `make cost USERS=10000 MESSAGES=40`, also GROUP, ONLINE, HOURS, SIZE. `--write` fills docs/cost.md."""

import argparse
import re
from pathlib import Path

from cost import tables
from cost.months import People, sizes

DOCUMENT = Path(__file__).parents[1] / "docs" / "cost.md"


def main() -> None:
    """Print the month that is asked for, and all tables; or write these into the document."""
    arguments = _parse()
    if arguments.write:
        DOCUMENT.write_text(filled(DOCUMENT.read_text()))
        return
    people = People(arguments.users, arguments.messages, arguments.group, arguments.online, arguments.hours)
    print(f"US dollars. {tables.price_note()}\n")
    print(
        f"{people.users:,} users, each connected for {people.hours_a_day:g} h a day and writing "
        f"{people.messages_a_day:g} messages into conversations of {people.group:,}, "
        f"of whose others {people.online:.0%} are online:\n"
    )
    print(tables.of_month(arguments.size, people))
    for table in tables.everything().values():
        print(f"\n{table}")


def filled(document: str) -> str:
    """Return the document with the tables that stand between its marks made anew.

    Raises:
        KeyError: it has marks for a table that there is not.

    """
    known = tables.everything()
    return re.sub(
        r"(<!-- cost:(\w+) -->\n).*?(<!-- /cost -->)",
        lambda found: f"{found[1]}{known[found[2]]}\n{found[3]}",
        document,
        flags=re.DOTALL,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cost", description="What a deployment costs a month.")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--messages", type=float, default=40, help="that each writes a day")
    parser.add_argument("--group", type=int, default=2, help="members of the conversations they write into")
    parser.add_argument("--online", type=float, default=0.5, help="which part of the other members is online, 0 to 1")
    parser.add_argument("--hours", type=float, default=3, help="for which each is connected a day")
    parser.add_argument("--size", choices=sizes(), default="small")
    parser.add_argument("--write", action="store_true", help="fill the tables of docs/cost.md instead")
    return parser.parse_args()


if __name__ == "__main__":
    main()
