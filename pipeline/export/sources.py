"""Which skeletons a folder holds, and reading them one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ... import SkelactError
from ...pose_extract.common.files import below
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.store.manifest import manifest_path, read_manifests
from ...pose_extract.store.npz import load_sequence

_SUFFIX = ".npz"


@dataclass(frozen=True)
class CachedClip:
    """A clip with its cache entry.

    Attributes:
        folder: The folder of skeletons.
        entry: The entry's path in it, with ``/``.
    """

    folder: Path
    entry: str

    @property
    def name(self) -> str:
        """The clip's id: the path of the entry in the folder, without ``.npz``."""
        return self.entry.removesuffix(_SUFFIX)

    def load(self) -> SkeletonSequence:
        """Return the clip's skeletons, under its name.

        Raises:
            SkelactError: if the entry cannot be read, or lies outside the folder.
        """
        # What an entry says of itself may be any text; its place is what the user knows.
        return replace(load_sequence(below(self.folder, self.entry)), video_id=self.name)


@dataclass(frozen=True)
class Skeletons:
    """What there is to export.

    Attributes:
        folder: The folder that they lie in.
        clips: The clips in the order of their names.
        num_without: Clips of the manifest that have no skeletons, since they could not be read.
    """

    folder: Path
    clips: tuple[CachedClip, ...]
    num_without: int = 0


def find_skeletons(source: str | Path) -> Skeletons:
    """Find the skeletons of a folder, or of one entry.

    Args:
        source: The ``--out`` of ``skelact extract``, any other folder of ``.npz`` entries, or one
            entry. With a manifest in the folder its clips are taken, else every ``.npz`` in it.

    Raises:
        SkelactError: if there is no such folder or entry, or it holds none.
    """
    source = Path(source)
    if source.is_file():
        if source.suffix != _SUFFIX:
            raise SkelactError(
                f"{source}: expected a folder of skeletons or a {_SUFFIX} entry, as `skelact "
                "extract` writes them"
            )
        return Skeletons(source.parent, (CachedClip(source.parent, source.name),))
    if not source.is_dir():
        raise SkelactError(f"{source}: no such folder; run `skelact extract` first")
    if manifest_path(source).exists():
        found = _of_manifest(source)
    else:
        found = Skeletons(source, tuple(_of_folder(source)))
    if not found.clips:
        raise SkelactError(f"{source}: no skeletons in it; run `skelact extract` first")
    return found


def _of_manifest(folder: Path) -> Skeletons:
    entries = sorted(read_manifests(folder).values(), key=lambda entry: entry.video)
    clips = tuple(
        CachedClip(folder, entry.output)
        for entry in entries
        if entry.status == "done" and entry.output is not None
    )
    return Skeletons(folder, clips, len(entries) - len(clips))


def _of_folder(folder: Path) -> Iterator[CachedClip]:
    for path in sorted(folder.rglob(f"*{_SUFFIX}")):
        name = path.relative_to(folder)
        # Temporary files of other runs begin with a dot.
        if not any(part.startswith(".") for part in name.parts):
            yield CachedClip(folder, name.as_posix())
