"""What the speech module takes and answers (contract, Speech)."""

from hongyan.ids import Id
from hongyan.schemas import RequestBody
from pydantic import BaseModel

from functions.speech.recognition import Language


class Recording(RequestBody):
    """POST /v1/speech/recognitions, of an upload."""

    file_id: Id
    language: Language = "zh"


class Recognized(BaseModel):
    """What was said."""

    text: str
