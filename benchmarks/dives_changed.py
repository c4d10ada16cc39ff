"""Whether `skelact predict` says the same of a real clip that was changed.

    python benchmarks/dives_changed.py ../shared

A dive and two saltos of `../shared/videos/aerial` are written anew, mirrored, tilted, smaller,
compressed, at half the frame rate, cut, after a frozen picture, and in slow motion, which replays
show as frames that last longer or are repeated. Somersaults, twists and position must stay. The
clips were looked at while `pipeline/elements` was made; how they were changed was not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import click
import cv2
import numpy as np
from dives import describe
from flight_clips import extract_all
from rich.console import Console
from rich.table import Table

from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.recognise import recognise_elements
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.extract import ExtractConfig
from skelact.pose_extract.sources import find_sources

_TILT_DEGREES, _SLOWER, _LEAD_SECONDS, _MARGIN_SECONDS = 10, 4, 2.0, 0.3


@dataclass(frozen=True, eq=False)
class Film:
    """Frames (height, width, 3) uint8 RGB, their rate, and the quality of the file that they get.

    ``crf`` is x264's: 18 cannot be told from the frames by eye, 35 shows blocks.
    """

    frames: Sequence[np.ndarray]
    fps: Fraction
    crf: int = 18

    def of(self, frames: Sequence[np.ndarray]) -> Film:
        """Return a film with other frames at the same rate."""
        return Film(frames, self.fps, self.crf)


@dataclass(frozen=True)
class Clip:
    """What is known of a clip: the element, and the seconds between which it flies."""

    name: str
    element: Element
    flight: tuple[float, float]


_SALTO = Element("salto", "back", 2, 0)
CLIPS = (
    Clip("dive_207C.avi", Element.from_dive_number("207C"), (0.57, 2.13)),
    Clip("back_somersault_standing.mp4", _SALTO, (4.1, 4.9)),
    Clip("back_somersault_off_rock.mp4", _SALTO, (2.6, 3.7)),
)


def tilted(film: Film) -> Film:
    """Turn the picture; what is outside is black."""
    height, width = film.frames[0].shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), _TILT_DEGREES, 1)
    return film.of([cv2.warpAffine(frame, turn, (width, height)) for frame in film.frames])


def half_size(film: Film) -> Film:
    """Halve both sides."""
    return film.of(
        [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in film.frames]
    )


def cut(film: Film, clip: Clip) -> Film:
    """Keep the flight and a little before and after."""
    first, last = (round(time * film.fps) for time in clip.flight)
    margin = round(_MARGIN_SECONDS * film.fps)
    return film.of(film.frames[max(first - margin, 0) : last + margin])


CHANGES: dict[str, Callable[[Film, Clip], Film]] = {
    "as it is": lambda film, clip: film,
    "mirrored": lambda film, clip: film.of([frame[:, ::-1] for frame in film.frames]),
    f"tilted by {_TILT_DEGREES} degrees": lambda film, clip: tilted(film),
    "half the size": lambda film, clip: half_size(film),
    "compressed": lambda film, clip: Film(film.frames, film.fps, 35),
    "half the rate": lambda film, clip: Film(film.frames[::2], film.fps / 2),
    f"cut to {_MARGIN_SECONDS} s around": cut,
    f"after {_LEAD_SECONDS:.0f} s that stand still": lambda film, clip: film.of(
        [film.frames[0]] * round(_LEAD_SECONDS * film.fps) + list(film.frames)
    ),
    f"{_SLOWER} times slower": lambda film, clip: Film(film.frames, film.fps / _SLOWER),
    f"each frame {_SLOWER} times": lambda film, clip: film.of(
        [frame for frame in film.frames for _ in range(_SLOWER)]
    ),
}


def read_film(path: Path) -> Film:
    """Return all frames of a file."""
    with open_video(path) as video:
        frames = [frame for batch in video.batches(32) for frame in batch.frames]
        return Film(frames, Fraction(video.info.fps))


def write_film(film: Film, path: Path) -> None:
    """Write a film as H.264; sides are even."""
    height, width = (side // 2 * 2 for side in film.frames[0].shape[:2])
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=film.fps, options={"crf": str(film.crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in film.frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


@click.command()
@click.argument("shared", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--cache",
    default=Path("work_dirs/dives_changed"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the changed clips and their skeletons.",
)
def main(shared: Path, cache: Path) -> None:
    """Print what is recognised in each changed clip, and count those that are named alike."""
    table = Table("clip", "changed", "recognised", "right")
    right = []
    for clip in CLIPS:
        film = read_film(shared / "videos" / "aerial" / clip.name)
        folder = cache / Path(clip.name).stem
        folder.mkdir(parents=True, exist_ok=True)
        for number, change in enumerate(CHANGES.values()):
            path = folder / f"{number}.mp4"
            if not path.exists():
                write_film(change(film, clip), path)
        sequences = extract_all(find_sources([folder]), ExtractConfig(), folder / "skeletons")
        for number, name in enumerate(CHANGES):
            found = recognise_elements(sequences[f"{number}.mp4"])
            right.append(any(_same(one.element, clip.element) for one in found))
            lines = "\n".join(describe(one) for one in found) or "nothing"
            table.add_row(clip.name, name, lines, "yes" if right[-1] else "no")
    Console(width=140).print(table)
    click.echo(f"{sum(right)} of {len(right)} are right")


def _same(found: Element, known: Element) -> bool:
    """Return whether all that is known of an element was said of it."""
    names = ["kind", "half_somersaults", "half_twists", "takeoff"]
    names += ["position"] if known.position else []
    return all(getattr(found, name) == getattr(known, name) for name in names)


if __name__ == "__main__":
    main()
