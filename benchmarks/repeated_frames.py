"""How well frames that repeat the one before are told from others, and by which threshold.

    python benchmarks/repeated_frames.py ../shared

Clips of `../shared/videos/aerial` are written with each frame four times, with little compression
and with much, and clips of `../shared/videos` are read as they are. A frame that differs from the
one before by an encoder's noise alone is to be left out, and none in which the athlete moves.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
from dives_changed import CLIPS, Film, read_film, write_film
from rich.console import Console
from rich.table import Table

from skelact.pose_extract.track import repeats
from skelact.pose_extract.track.repeats import RepeatDetector

_THRESHOLDS = (1.5, 3.0, 5.0, 8.0)
_TIMES, _MOST_FRAMES, _EVERY_NTH_CLIP = 4, 48, 12


@click.command()
@click.argument("shared", type=click.Path(exists=True, path_type=Path))
def main(shared: Path) -> None:
    """Print the shares of frames that are taken for repeated ones, in percent."""
    table = Table("frames", "of them", *(f"<= {one:g}" for one in _THRESHOLDS))
    films = [read_film(shared / "videos" / "aerial" / clip.name) for clip in CLIPS]
    films = [film.of(film.frames[-_MOST_FRAMES:]) for film in films]
    for crf in (18, 28, 35):
        written = [_shown_again(film, crf) for film in films]
        copies = [np.arange(len(film.frames)) % _TIMES > 0 for film in written]
        found = {one: [_repeats(film.frames, one) for film in written] for one in _THRESHOLDS}
        for name, wanted in (("repeated", True), ("new", False)):
            chosen = [is_copy == wanted for is_copy in copies]
            shares = [_share(found[one], chosen) for one in _THRESHOLDS]
            count = sum(int(one.sum()) for one in chosen)
            table.add_row(f"{name}, x264's crf {crf}", str(count), *shares)
    films = [
        read_film(path)
        for path in sorted((shared / "videos" / "ucf101_train").glob("*.avi"))[::_EVERY_NTH_CLIP]
    ]
    all_of = [np.ones(len(film.frames), bool) for film in films]
    shares = [_share([_repeats(f.frames, one) for f in films], all_of) for one in _THRESHOLDS]
    table.add_row("of UCF101, as they are", str(sum(map(len, all_of))), *shares)
    Console(width=110).print(table)
    click.echo(f"the threshold that is used: {repeats.SAME:g}")


def _shown_again(film: Film, crf: int) -> Film:
    """Return a film with each frame several times, written and read again."""
    frames = list(itertools.chain.from_iterable([frame] * _TIMES for frame in film.frames))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_film(Film(frames, film.fps, crf), path)
        return read_film(path)


def _repeats(frames: Iterable[np.ndarray], threshold: float) -> np.ndarray:
    detector = RepeatDetector(threshold)
    return np.array([detector.add(frame) for frame in frames])


def _share(found: list[np.ndarray], chosen: list[np.ndarray]) -> str:
    return f"{100 * np.concatenate([one[which] for one, which in zip(found, chosen)]).mean():.1f}"


if __name__ == "__main__":
    main()
