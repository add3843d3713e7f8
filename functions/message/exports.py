"""A person's own data as an archive: asked for, made by a scheduled function, fetched by a link."""

from datetime import timedelta

from hongyan import aws
from hongyan.clock import now
from hongyan.errors import ExportNotFound
from hongyan.ids import new_id
from hongyan.settings import settings
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.message import export_repository as repository
from functions.message.schemas import Export

# One a day: it costs reading everything that somebody ever said or was told.
ANEW_AFTER = timedelta(days=1)
# The bucket's lifecycle deletes the archive then (template.yaml, FilesBucket).
KEPT_FOR = timedelta(days=7)
LINK_SECONDS = 15 * 60


def ask(user_id: str) -> tuple[Export, bool]:
    """Ask for an archive, and tell whether this call did. For a day the one that was asked for before is answered."""
    export_id, is_new = perform(lambda unit: _ask(unit, user_id))
    return find(user_id, export_id), is_new


def find(user_id: str, export_id: str) -> Export:
    """Return how far an archive of the caller's is; once it is ready, with a link that works for a quarter of an hour.

    Raises:
        ExportNotFound: there is none such, it is somebody else's, or it was deleted after a week.

    """
    row = read(lambda connection: repository.find(connection, user_id, export_id))
    if row is None or now() - row.created_at > KEPT_FOR:
        raise ExportNotFound
    link = _link(row.id) if row.status == "ready" else None
    return Export(
        id=row.id,
        status=row.status,
        created_at=row.created_at,
        expires_at=row.created_at + KEPT_FOR,
        size=row.size,
        download_url=link,
    )


def object_key(export_id: str) -> str:
    """Return where in the bucket an archive is."""
    return f"export/{export_id}.zip"


def _ask(unit: UnitOfWork, user_id: str) -> tuple[str, bool]:
    last = repository.lock_last(unit.connection, user_id)
    if last is not None and last.status != "failed" and now() - last.created_at < ANEW_AFTER:
        return last.id, False
    export_id = new_id()
    repository.insert(unit.connection, export_id, user_id, now())
    return export_id, True


def _link(export_id: str) -> str:
    return aws.s3().generate_presigned_url(
        "get_object",
        Params={
            "Bucket": settings().files_bucket,
            "Key": object_key(export_id),
            "ResponseContentDisposition": 'attachment; filename="hongyan.zip"',
        },
        ExpiresIn=LINK_SECONDS,
    )
