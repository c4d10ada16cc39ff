"""A clip on its way to a report: what is asked for, and how far it is."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from ... import SkelactError
from ...pose_extract.common.text import printable

State = Literal["queued", "running", "done", "failed", "cancelled"]
STATES: tuple[str, ...] = get_args(State)

# 128 bits: an id cannot be guessed.
_ID_BYTES = 16
_ID = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")
# File systems in common use have no longer names.
MAX_NAME_CHARS = 255


@dataclass(frozen=True)
class Job:
    """One clip that is to be labelled, and its answer.

    Attributes:
        id: Random, 32 hexadecimal digits; the name of its folder.
        name: What the user calls the clip; text, and never a path.
        created: When it was asked for, seconds since 1970.
        state: Where it is; of those that are done or failed the answer is known.
        num_starts: How often it was begun and neither ended nor stopped.
        subject: Who is the athlete, as ``x1,y1,x2,y2`` in pixels of the first frame; None for the
            one that is found.
        start_frame, end_frame: The cut of the file that is labelled; None for its ends.
        person: Number of the person, from 1, in the report of which it was asked for; None where it
            is of an upload.
        words: The answer.
        confidence_words: How sure it is; None where nothing is known.
        unknown: Whether the clip shows none of the classifier's actions.
        notes_id: By what browsers keep notes on the report.
        error: Why there is no report, or no label in it.
    """

    id: str
    name: str
    created: float
    state: State = "queued"
    num_starts: int = 0
    subject: str | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    person: int | None = None
    words: str | None = None
    confidence_words: str | None = None
    unknown: bool = False
    notes_id: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if not is_job_id(self.id):
            raise SkelactError(f"job: expected an id of hexadecimal digits, got {self.id!r}")
        if self.state not in STATES:
            raise SkelactError(f"job {self.id}: expected a state, got {self.state!r}")
        if not isinstance(self.name, str) or not isinstance(self.created, (int, float)):
            raise SkelactError(f"job {self.id}: expected a name and a time")

    @classmethod
    def new(cls, name: str) -> Job:
        """Return a job of an upload, by what the user calls the clip."""
        shown = printable(name).strip() or "clip"
        return cls(secrets.token_hex(_ID_BYTES), shown, time.time())

    @classmethod
    def from_dict(cls, values: Any) -> Job:
        """Return the job that ``to_dict`` wrote.

        Raises:
            SkelactError: if it is none.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or not values.keys() <= names:
            raise SkelactError("expected a job")
        try:
            return cls(**values)
        except TypeError as error:
            raise SkelactError(f"expected a job: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, which JSON can hold."""
        return asdict(self)

    def of_person(self, person: int, subject: str, first_frame: int | None) -> Job:
        """Return a new job that labels the same clip with another athlete.

        Args:
            person: The person's number, from 1.
            subject: Their box.
            first_frame: The frame in which they are first seen; None for the first of this job.
        """
        again = Job.new(self.name)
        start = self.start_frame if first_frame is None else first_frame
        return replace(
            again, subject=subject, start_frame=start, end_frame=self.end_frame, person=person
        )


def is_job_id(text: object) -> bool:
    """Return whether a text has the form of a job's id."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None
