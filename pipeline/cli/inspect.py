"""``skelact inspect``: how good extracted skeletons are, worst first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    from ...pose_extract.skeleton import SkeletonSequence

_COLUMNS = {
    "athlete_share": "seen",
    "gaps": "gaps",
    "longest_gap": "longest",
    "mean_score": "score",
    "jitter": "jitter",
    "swaps_mended": "swaps",
    "inverted_share": "inverted",
    "turns": "turns",
}
_TILES = 12
_TILE_HEIGHT = 150


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--videos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that the videos were extracted from: skeletons are then drawn on their frames.",
)
@click.option("--page", is_flag=True, help="Also write FOLDER/inspect/index.html with pictures.")
def inspect(folder: Path, videos: Path | None, page: bool) -> None:
    """Show how good the skeletons in FOLDER are, the worst first.

    FOLDER is the --out of `skelact extract`. With --page (or --videos) a picture per clip, some of
    its frames with skeletons, is written beside a page that lists the worst first.
    """
    entries = _read(folder)
    _print(entries)
    if page or videos is not None:
        click.echo(f"page: {_write_page(folder, entries, videos)}")


def _read(folder: Path) -> list[dict[str, Any]]:
    """Return the manifest's entries: failed ones first, then the others, the worst first."""
    from ... import SkelactError
    from ...pose_extract.store.quality import Quality

    manifests = sorted(folder.glob("manifest*.jsonl"))
    if not manifests:
        raise SkelactError(f"{folder}: expected manifest.jsonl, as `skelact extract --out` writes")
    entries: dict[str, dict[str, Any]] = {}
    for manifest in manifests:
        for line in manifest.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            entries[entry["video"]] = entry

    def worth(entry: dict[str, Any]) -> tuple[bool, float]:
        names = Quality.__dataclass_fields__
        return entry["status"] == "done", Quality(**{n: entry.get(n, 0) for n in names}).worth

    return sorted(entries.values(), key=worth)


def _print(entries: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("video", overflow="fold")
    for title in _COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for entry in entries:
        if entry["status"] == "done":
            table.add_row(entry["video"], *(str(entry.get(column, "")) for column in _COLUMNS))
        else:
            table.add_row(entry["video"], f"[red]{entry['error']}[/]")
    Console().print(table)


def _write_page(folder: Path, entries: list[dict[str, Any]], videos: Path | None) -> Path:
    from html import escape

    from ...pose_extract.common.files import atomic_write
    from ...pose_extract.store.npz import load_sequence

    rows = []
    for entry in entries:
        figures = f"<p>{escape(str(entry.get('error') or ''))}</p>"
        if entry["status"] == "done":
            picture = folder / "inspect" / f"{entry['video']}.jpg"
            _write_sheet(picture, load_sequence(folder / entry["output"]), videos)
            facts = ", ".join(f"{title} {entry.get(name, '')}" for name, title in _COLUMNS.items())
            name = escape(f"{entry['video']}.jpg", quote=True)
            figures = f"<p>{escape(facts)}</p><img src='{name}' loading='lazy'>"
        rows.append(f"<h2>{escape(entry['video'])}</h2>{figures}")
    page = folder / "inspect" / "index.html"
    style = "body{font:15px sans-serif;margin:2em}img{max-width:100%}h2{font-size:1em}"
    text = (
        f"<!doctype html><meta charset='utf-8'><title>skelact inspect</title>"
        f"<style>{style}</style><h1>{len(entries)} clips, worst first</h1>{''.join(rows)}"
    )
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def _write_sheet(path: Path, sequence: SkeletonSequence, videos: Path | None) -> None:
    """Write some frames of a clip, evenly spread, with their skeletons."""
    import cv2
    import numpy as np

    from ...pose_extract.common.files import atomic_write
    from ..drawing.overlay import draw_people

    count = min(_TILES, sequence.num_frames)
    steps = np.linspace(0, sequence.num_frames - 1, count).round().astype(int)
    pictures = _pictures(sequence, steps, videos)
    scale = _TILE_HEIGHT / sequence.img_shape[0]
    size = (max(1, round(sequence.img_shape[1] * scale)), _TILE_HEIGHT)
    tiles = [
        cv2.resize(draw_people(picture, sequence, int(step)), size, interpolation=cv2.INTER_AREA)
        for picture, step in zip(pictures, steps)
    ]
    columns = min(6, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    sheet = np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
    with atomic_write(path) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


def _pictures(
    sequence: SkeletonSequence, steps: np.ndarray, videos: Path | None
) -> list[np.ndarray]:
    """Return the frames of some steps, or dark pictures where there is no video."""
    import numpy as np

    from ...pose_extract.decode.frames import VideoError
    from ...pose_extract.decode.video import open_video

    dark = np.full((*sequence.img_shape, 3), 24, np.uint8)
    found: dict[int, np.ndarray] = {}
    source = videos / sequence.video_id.partition("@")[0] if videos else None
    wanted = set(sequence.frame_inds[steps].tolist())
    if source is not None and source.is_file():
        try:
            with open_video(source) as reader:
                for batch in reader.batches(16, min(wanted), max(wanted) + 1):
                    for frame, index in zip(batch.frames, batch.frame_inds.tolist()):
                        if index in wanted and frame.shape[:2] == sequence.img_shape:
                            found[index] = frame.copy()
        except VideoError:
            pass
    return [found.get(int(index), dark) for index in sequence.frame_inds[steps]]
