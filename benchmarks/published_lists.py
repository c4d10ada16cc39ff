"""Turns the published lists of FineGym and Diving48 into a list for `skelact extract`.

    python benchmarks/published_lists.py gym99 --info finegym_annotation_info_v1.1.json \
        --train gym99_train_element_v1.1.txt --val gym99_val_element.txt --videos gym/ > gym99.csv
    python benchmarks/published_lists.py diving48 --train Diving48_V2_train.json \
        --val Diving48_V2_test.json --videos diving48/ > diving48.csv

A line of FineGym is ``VIDEO_E_000151_000159_A_0003_0005 label``: an element of an event, whose time
in the video, and that of the element in the event, are in the JSON of all annotations. Diving48 has
a video per dive. Videos that are not in --videos are counted and left out: some of FineGym's are no
longer on YouTube. Labels are the names of ``configs/labels``, in the order of the numbers.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from skelact.pipeline.config import load_label_names

_ELEMENT = re.compile(r"(?P<video>.+)_(?P<event>E_\d+_\d+)_(?P<element>A_\d+_\d+)\s+(?P<label>\d+)")
_SUFFIXES = (".mp4", ".mkv", ".webm")
COLUMNS = ("path", "label", "split", "start_seconds", "end_seconds")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def gym_rows(info: dict[str, Any], lines: list[str]) -> Iterator[tuple[str, int, float, float]]:
    """Yield video, class number, start and end in seconds of each element of a FineGym list."""
    for line in filter(None, map(str.strip, lines)):
        found = _ELEMENT.fullmatch(line)
        if found is None:
            raise click.ClickException(f"expected VIDEO_E_..._A_... and a number, got {line!r}")
        event = info[found["video"]][found["event"]]
        start = event["timestamps"][0][0]
        # An element may have several stages, such as those of a vault.
        times = event["segments"][found["element"]]["timestamps"]
        yield found["video"], int(found["label"]), start + times[0][0], start + times[-1][1]


def find_video(folder: Path, name: str) -> str | None:
    """Return a video's path in text, or None where it is not in the folder."""
    paths = (folder / f"{name}{suffix}" for suffix in _SUFFIXES)
    return next((str(path.absolute()) for path in paths if path.is_file()), None)


@click.command()
@click.argument("dataset", type=click.Choice(["gym99", "gym288", "diving48"]))
@click.option("--info", type=FILE, help="FineGym's finegym_annotation_info_v1.1.json.")
@click.option("--train", required=True, type=FILE, help="List of the clips to train on.")
@click.option("--val", required=True, type=FILE, help="List of the clips to measure on.")
@click.option("--videos", required=True, type=click.Path(exists=True, path_type=Path))
def main(dataset: str, info: Path | None, train: Path, val: Path, videos: Path) -> None:
    """Print a list for `skelact extract` from the published lists of a data set."""
    if (info is None) != (dataset == "diving48"):
        raise click.UsageError("--info: expected with gym99 and gym288, and with them alone")
    names = load_label_names(dataset)
    events = json.loads(info.read_text()) if info else {}
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    missing = set()
    # As the configs call them.
    measured = "val" if dataset == "gym99" else "test"
    for split, path in (("train", train), (measured, val)):
        if info is None:
            dives = json.loads(path.read_text())
            clips = [(dive["vid_name"], dive["label"], "", "") for dive in dives]
        else:
            clips = [*gym_rows(events, path.read_text().splitlines())]
        for name, label, start, end in clips:
            video = find_video(videos, name)
            if video is None:
                missing.add(name)
                continue
            times = (round(second, 3) if second != "" else "" for second in (start, end))
            writer.writerow([video, names[label], split, *times])
    if missing:
        click.echo(f"{len(missing)} videos are not in {videos}; their clips are left out", err=True)


if __name__ == "__main__":
    main()
