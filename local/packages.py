"""`make build`'s last step: how large each package is as Lambda gets it, and an error above what one should have.

python -m local.packages FOLDER
"""

import sys
import tempfile
import zipfile
from pathlib import Path

from local.failures import StackError

MOST_BYTES = 20_000_000


def main() -> int:
    """Print the sizes of what `sam build` left in a folder; return 0, or 1 after one sentence if one is too large."""
    sizes = {folder.name: zipped_size(folder) for folder in sorted(Path(sys.argv[1]).iterdir()) if folder.is_dir()}
    for name, size in sizes.items():
        print(f"  {name:<32}{size / 1e6:6.2f} MB zipped")
    try:
        check(sizes)
    except StackError as error:
        print(f"hongyan: {error}", file=sys.stderr)
        return 1
    return 0


def check(sizes: dict[str, int]) -> None:
    """Hold packages to what each may have.

    Raises:
        StackError: one has more, or there is none.

    """
    if not sizes:
        raise StackError("Nothing was built.")
    if too_large := [name for name, size in sizes.items() if size > MOST_BYTES]:
        raise StackError(f"More than {MOST_BYTES / 1e6:.0f} MB zipped: {', '.join(too_large)}.")


def zipped_size(folder: Path) -> int:
    """Return how many bytes a folder has, zipped as `sam deploy` zips it."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        return file.tell()


if __name__ == "__main__":
    sys.exit(main())
