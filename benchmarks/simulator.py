"""How far the simulator is true: tilt, flight times, momentum, motion captures, clips per second.

python benchmarks/simulator.py [--count 24] [--mocap ../shared/data/mocap]
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np

from skelact.pipeline.elements.element import Element, diving48_elements
from skelact.pipeline.synth.clips import make_clips
from skelact.pipeline.synth.dive_scripts import dive_script
from skelact.pipeline.synth.gymnastics_scripts import gymnastics_script
from skelact.pipeline.synth.motion import GRAVITY, Motion, simulate

_PRIORS = Path(__file__).resolve().parent.parent / "pipeline" / "synth" / "dive_priors.json"
_RATE = 60.0


def fly(elements: list[Element], seed: int, make=dive_script, **options: float) -> Motion:
    """Return the motion of elements at 60 Hz."""
    rng = np.random.default_rng(seed)
    scripts = [make(element, rng, **options) for element in elements]
    return simulate(scripts, [np.arange(0, s.time, 1 / _RATE) for s in scripts], rng)


def tilts(count: int) -> None:
    """Print the largest tilt by number of twists."""
    for number in ("5211A", "5231D", "5132D", "5233D", "5134D", "5235D", "5156B", "5237D"):
        motion = fly([Element.from_dive_number(number)] * count, 0)
        low, middle, high = np.percentile(np.abs(motion.tilt).max(axis=1), (10, 50, 90))
        click.echo(f"tilt {number}: {middle:.1f} [{low:.1f}, {high:.1f}] degrees, "
                   f"{motion.solved.mean():.0%} solved")  # fmt: skip


def flights(count: int) -> None:
    """Print flight times by height, with the upward speed that ballistics needs for them."""
    for height in (1.0, 3.0, 5.0, 7.5, 10.0):
        motion = fly([Element.from_dive_number("103B")] * count, 1, height=height)
        spans = [script.elements[0] for script in motion.scripts]
        seconds = np.array([span.end - span.start for span in spans])
        upward = (GRAVITY * seconds**2 / 2 - height) / seconds
        click.echo(f"flight from {height:g} m: {np.median(seconds):.2f} s, "
                   f"upward {np.median(upward):.1f} m/s")  # fmt: skip
    frames = json.loads(_PRIORS.read_text())["frames"]["flight"]
    click.echo(f"FineDiving, steps between take-off and entry: {frames} frames (5 to 95 %)")


def captures(count: int, folder: Path) -> None:
    """Print the fastest rotation of the trunk in motion captures and in simulated elements."""
    kinds = {
        "backflip": Element("salto", "back", 2, 0, "tuck"),
        "sideflip": Element("salto", "sideways", 2, 0, "tuck"),
        "cartwheel": Element("cartwheel", "sideways"),
        "roll": Element("roll", "forward"),
    }
    for name, element in kinds.items():
        frames = np.array(json.loads((folder / f"humanoid3d_{name}.txt").read_text())["Frames"])
        one, two = frames[:-1, 4:8], frames[1:, 4:8]
        dot = np.abs((one * two).sum(axis=1)).clip(0, 1)
        real = np.degrees(2 * np.arccos(dot)) / frames[:-1, 0]
        motion = fly([element] * count, 2, gymnastics_script)
        mine = np.abs(np.diff(motion.pitch, axis=1)).max(axis=1) * _RATE
        click.echo(f"{name}: captured {np.percentile(real, 95):.0f} degrees/s, simulated "
                   f"{np.median(mine):.0f}")  # fmt: skip


@click.command()
@click.option("--count", default=24, show_default=True, help="Draws of each element.")
@click.option("--mocap", type=click.Path(path_type=Path), default="../shared/data/mocap")
def main(count: int, mocap: Path) -> None:
    """Measure the simulator."""
    tilts(count)
    flights(count)
    if mocap.is_dir():
        captures(count, mocap)
    dives = list(diving48_elements()[1]) * 3
    start = time.perf_counter()
    make_clips(dives, np.random.default_rng(0))
    click.echo(f"{len(dives) / (time.perf_counter() - start):.0f} clips a second")


if __name__ == "__main__":
    main()
