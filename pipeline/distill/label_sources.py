"""What is labelled: the videos and groups of images in folders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import SkelactError
from ...pose_extract.folders import files_below
from ...pose_extract.sources import VIDEO_SUFFIXES

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))
# Images that share a file of labels and a process's turn. The number is part of the names of the
# files, so another one would label all images again.
_IMAGES_PER_FILE = 50


@dataclass(frozen=True)
class LabelJob:
    """A video, or a group of images.

    Attributes:
        name: Its name; the file of its labels is named after it.
        paths: The video, or the images.
    """

    name: str
    paths: tuple[Path, ...]

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.paths[0].suffix.lower() in VIDEO_SUFFIXES

    def target(self, folder: Path) -> Path:
        """Return the path of its labels in a folder."""
        names = "\n".join([self.name, *(path.name for path in self.paths[1:])])
        digest = hashlib.sha256(names.encode()).hexdigest()[:8]
        return folder / f"{Path(self.name).name}-{digest}.npz"


def find_jobs(folders: Sequence[str | Path]) -> list[LabelJob]:
    """Return the videos and groups of images in files and folders, searched recursively.

    Raises:
        SkelactError: if one is missing, there is neither video nor image, or two have one name.
    """
    jobs = [job for folder in folders for job in _jobs_in(Path(folder))]
    paths: dict[str, Path] = {}
    for job in jobs:
        other = paths.setdefault(job.name, job.paths[0])
        if other.absolute() != job.paths[0].absolute():
            raise SkelactError(
                f"{other} and {job.paths[0]} are both called {job.name}; give one folder above both"
            )
    if not jobs:
        raise SkelactError(f"no video and no image in {', '.join(map(str, folders))}")
    return jobs


def _jobs_in(folder: Path) -> list[LabelJob]:
    if not folder.exists():
        raise SkelactError(f"no file or folder at {folder}")
    root = folder if folder.is_dir() else folder.parent
    wanted = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    files = files_below(folder, wanted).taken if folder.is_dir() else [folder]
    names = {path: f"{root.name}/{path.relative_to(root).as_posix()}" for path in files}
    jobs = [LabelJob(names[p], (p,)) for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    for start in range(0, len(images), _IMAGES_PER_FILE):
        group = tuple(images[start : start + _IMAGES_PER_FILE])
        jobs.append(LabelJob(names[group[0]], group))
    return jobs
