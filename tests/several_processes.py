"""The same clips extracted by one process and by several."""

from __future__ import annotations

from skelact.pose_extract.batch import extract_clips
from skelact.pose_extract.extract import Extractor


def extracted_alone_and_beside(sources, folder, config, **beside):
    """Extract clips in this process and by others, check that the bytes are the same.

    Returns:
        The two summaries, and the names of the clips that were told of.
    """
    told, people, people_alone = [], [], []
    one = extract_clips(
        sources,
        folder / "alone",
        Extractor(config),
        on_progress=lambda progress: people_alone.append(progress.people_done),
    )
    others = extract_clips(
        sources,
        folder / "beside",
        Extractor(config),
        on_entry=lambda entry: told.append(entry.video),
        on_progress=lambda progress: people.append(progress.people_done),
        **beside,
    )
    assert results(folder / "alone") == results(folder / "beside")
    assert others.entries == one.entries
    assert others.num_new == one.num_new == len(sources)
    # All frames of all clips but those that are no video.
    assert people[-1] == people_alone[-1] >= sum(entry.frames for entry in one.entries)
    return one, others, sorted(told)


def results(folder):
    """Return the bytes of a folder's cache entries, by name."""
    return {path.name: path.read_bytes() for path in folder.glob("*.npz")}
