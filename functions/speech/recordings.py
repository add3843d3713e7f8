"""Uploaded recordings: who may have one recognised, and where its bytes are."""

from typing import NamedTuple

from botocore.exceptions import ClientError
from hongyan import aws
from hongyan.errors import AudioTooLarge, FileNotFound, FileNotUsable
from hongyan.settings import settings
from hongyan.unit_of_work import read

from functions.speech import repository

# A voice message's own limit (contract, File).
MOST_BYTES = 10 * 1024 * 1024


class Stored(NamedTuple):
    """An upload's bytes, and what they were found to be."""

    data: bytes
    mime: str


def read_audio(user_id: str, file_id: str) -> Stored:
    """Return a recording of the user's own.

    Raises:
        FileNotFound: there is none such, or it is not the user's.
        FileNotUsable: it is not completely uploaded, or no recording.
        AudioTooLarge: it is over 10 MiB.

    """
    row = read(lambda connection: repository.find_file(connection, file_id))
    if row is None or row.owner_id != user_id:
        raise FileNotFound
    if row.completed_at is None or row.purpose != "voice":
        raise FileNotUsable
    return Stored(fetch(file_id), row.mime)


def fetch(file_id: str) -> bytes:
    """Return the bytes of a recording, whoever asks.

    Raises:
        FileNotFound: they are gone.
        AudioTooLarge: they are more than any recording has.

    """
    try:
        found = aws.s3().get_object(Bucket=settings().files_bucket, Key=f"voice/{file_id}")
    except ClientError as error:
        # Who may not list a bucket is not told that an object is missing.
        if error.response["Error"]["Code"] in {"NoSuchKey", "AccessDenied"}:
            raise FileNotFound from error
        raise
    if found["ContentLength"] > MOST_BYTES:
        raise AudioTooLarge
    return found["Body"].read()
