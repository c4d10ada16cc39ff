"""Write reports: a folder with a page, the video and the data of a clip, which opens anywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ... import SkelactError
from ...pose_extract.common.files import atomic_write
from ...pose_extract.common.text import printable
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.sources import ClipSource
from ..elements.course import body_course
from ..inference.results import ActionPrediction
from .contents import clip_chunks, clip_index
from .folder import check_report_folder, new_folder
from .relabel import relabel_command
from .video_copy import write_video_copy
from .words import in_words

__all__ = ["ReportWriter", "check_report_folder", "write_report"]

PAGE_NAME = "index.html"
PAGE_FOLDER = Path(__file__).parent / "page"
_CLIP_PAGE, _LIST_PAGE = "report.html", "list.html"
VIDEO_NAME = "video.mp4"
# Characters of a clip's name in that of its folder; others could mean something in an address.
_NO_PLAIN_LETTERS, _MAX_SLUG = re.compile(r"[^A-Za-z0-9._-]+"), 60


def write_report(
    predictions: ActionPrediction | Iterable[ActionPrediction], folder: str | Path
) -> Path:
    """Write a page of a clip, or of several, for browsers; return the page.

    The folder holds all that the page needs, so that it can be moved and sent: the page opens from
    the disk, without a network and a server. It is whole or not there. One clip has its page in
    ``folder``; of several each has a folder in it, and the page lists them.

    Args:
        predictions: What ``predict`` or ``Pipeline`` gives for a clip, or for several, which are
            taken one after the other.
        folder: Where the report goes. A report that is there is replaced.

    Raises:
        SkelactError: if there is anything else in ``folder``, or the one clip cannot be shown;
            where one of several cannot, the page says why.
    """
    is_one = isinstance(predictions, ActionPrediction)
    with report_writer(folder, is_one=is_one) as writer:
        for prediction in (
            [predictions] if isinstance(predictions, ActionPrediction) else predictions
        ):
            try:
                writer.add(prediction)
            except (SkelactError, OSError):
                if is_one:
                    raise
    return Path(folder) / PAGE_NAME


@contextmanager
def report_writer(
    folder: str | Path, *, is_one: bool, options: Sequence[str] = ()
) -> Iterator[ReportWriter]:
    """Give a writer of a report, which takes the place of ``folder`` when the block ends.

    Args:
        folder: Where the report goes.
        is_one: Whether it is of one clip.
        options: Further options of the command that labels a clip again.

    Raises:
        SkelactError: if there is anything but a report in ``folder``.
    """
    interruption: BaseException | None = None
    with new_folder(folder) as new:
        writer = ReportWriter(new, Path(folder), is_one=is_one, options=options)
        try:
            yield writer
        except BaseException as error:
            # A run that is interrupted keeps the clips that are done.
            interruption = error
        writer.finish()
    if interruption is not None:
        raise interruption


class ReportWriter:
    """Writes the pages of clips into a new folder; see ``report_writer``.

    Args:
        new: The new folder.
        folder: Where it will be.
        is_one: Whether it is of one clip.
        options: Further options of the command that labels a clip again.
    """

    def __init__(self, new: Path, folder: Path, *, is_one: bool, options: Sequence[str]) -> None:
        self._new, self._folder = new, folder
        self._is_one, self._options = is_one, options
        self._clips: list[dict[str, Any]] = []

    def add(self, prediction: ActionPrediction) -> Path:
        """Write the page of a clip, whole or not at all, and return where it will be.

        Raises:
            SkelactError: if the clip has no skeletons, or its file cannot be read.
        """
        name = "" if self._is_one else _folder_name(len(self._clips), prediction.video)
        entry = _list_entry(prediction, f"{name}/{PAGE_NAME}")
        # A clip that cannot be shown has its line in the list, and no page.
        self._clips.append({**entry, "page": None})
        target = self._new / name
        target.mkdir(exist_ok=True)
        try:
            self._write_clip(prediction, target)
        except (SkelactError, OSError) as error:
            self._clips[-1]["error"] = entry["error"] or printable(error)
            raise
        finally:
            if not (target / PAGE_NAME).is_file():
                _clear(target, is_kept=self._is_one)
        self._clips[-1] = entry
        return self._folder / name / PAGE_NAME

    def finish(self) -> None:
        """Write the page that lists the clips, where there are several."""
        if self._is_one or not self._clips:
            return
        write_data(self._new / "data" / "clips.js", "clips", {"clips": self._clips})
        copy_page(self._new, _LIST_PAGE)

    def _write_clip(self, prediction: ActionPrediction, target: Path) -> None:
        sequence = prediction.sequence
        courses = [
            body_course(sequence, person, prediction.elements)
            for person in range(sequence.num_person)
        ]
        copy = write_video_copy(prediction.skeletons, target / VIDEO_NAME)
        relabel = self._relabel(sequence, prediction.skeletons.source, target.name)
        index = clip_index(prediction, copy, courses, relabel, VIDEO_NAME)
        write_data(target / "data" / "index.js", "index", index)
        for number, chunk in enumerate(clip_chunks(sequence, courses)):
            name = f"frames-{number:04}"
            write_data(target / "data" / f"{name}.js", name, chunk)
        copy_page(target, _CLIP_PAGE)

    def _relabel(
        self, sequence: SkeletonSequence, source: ClipSource | None, name: str
    ) -> list[dict[str, Any] | None]:
        """Return the command for each person, which writes a report beside this one."""
        beside = os.fspath(self._folder) if self._is_one else f"{self._folder}-{name}"
        return [
            None
            if source is None
            else relabel_command(
                sequence, person, source, f"{beside}-person-{person + 1}", self._options
            )
            for person in range(sequence.num_person)
        ]


def _list_entry(prediction: ActionPrediction, page: str) -> dict[str, Any]:
    score = prediction.score
    return {
        "name": printable(prediction.video),
        "page": page,
        "words": printable(prediction.words),
        "unknown": prediction.unknown,
        "closest": printable(prediction.top_k[0].label) if prediction.top_k else None,
        "confidence_words": None if score is None else in_words(score),
        "confidence": score,
        "error": None if prediction.error is None else printable(prediction.error),
    }


def _folder_name(number: int, video: str) -> str:
    slug = _NO_PLAIN_LETTERS.sub("-", video)[-_MAX_SLUG:].strip(".-")
    return f"{number + 1:04}-{slug}".rstrip("-")


def _clear(folder: Path, *, is_kept: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if is_kept:
        folder.mkdir()


def write_data(path: Path, name: str, values: Any) -> None:
    """Write values as a script that hands them to the page.

    A page that is opened from the disk may load scripts and nothing else. ASCII alone, and no
    value ends the script.
    """
    text = json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    with atomic_write(path) as temporary:
        temporary.write_text(f"skelactData({json.dumps(name)},{text});\n", encoding="ascii")


def read_index(folder: str | Path) -> dict[str, Any]:
    """Return what the report of a clip says of all but its frames; see ``clip_index``.

    Raises:
        SkelactError: if there is no such report in ``folder``.
    """
    path = Path(folder) / "data" / "index.js"
    try:
        text = path.read_text(encoding="ascii")
        values = json.loads(text[text.index(",") + 1 : text.rindex(")")])
    except (OSError, ValueError) as error:
        raise SkelactError(f"{path}: expected the index of a report: {error}") from None
    if not isinstance(values, dict):
        raise SkelactError(f"{path}: expected the index of a report")
    return values


def copy_page(target: Path, page: str) -> None:
    """Copy a page of ``page/``, with what all of them share, into a folder as ``index.html``."""
    # The page last: where it is, all else is.
    (target / "page").mkdir(parents=True, exist_ok=True)
    for file in sorted(PAGE_FOLDER.iterdir()):
        if file.suffix in (".js", ".css"):
            shutil.copyfile(file, target / "page" / file.name)
    shutil.copyfile(PAGE_FOLDER / page, target / PAGE_NAME)
