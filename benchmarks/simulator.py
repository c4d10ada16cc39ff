"""How far the simulator is true: tilt, momentum, flight times, motion captures, clips per second.

python benchmarks/simulator.py [--count 24] [--mocap ../shared/data/mocap]
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np
from scipy.spatial.transform import Rotation

from skelact.pipeline.elements.element import Element, diving48_elements
from skelact.pipeline.synth.clips import make_clips
from skelact.pipeline.synth.dive_scripts import dive_script
from skelact.pipeline.synth.gymnastics_scripts import gymnastics_script
from skelact.pipeline.synth.motion import GRAVITY, Motion, simulate

_PRIORS = Path(__file__).resolve().parent.parent / "pipeline" / "elements" / "dive_priors.json"
_RATE = 60.0
_FINE, _EDGE = 480.0, 0.025


def fly(elements: list[Element], seed: int, make=dive_script, **options: float) -> Motion:
    """Return the motion of elements at 60 Hz."""
    rng = np.random.default_rng(seed)
    scripts = [make(element, rng, **options) for element in elements]
    return simulate(scripts, [np.arange(0, s.time, 1 / _RATE) for s in scripts], rng)


def tilts(count: int) -> None:
    """Print by number of twists the largest tilt, what is solved, and what happens to momentum."""
    for number in ("205C", "5211A", "5231D", "5132D", "5233D", "5134D", "5235D", "5253B", "5154B",
                   "5156B", "5237D"):  # fmt: skip
        motion = fly([Element.from_dive_number(number)] * count, 0)
        rows = np.flatnonzero(motion.solved)
        low, middle, high = np.percentile(np.abs(motion.tilt[rows]).max(axis=1), (10, 50, 90))
        residuals = np.array([momentum_residual(motion, i) for i in rows])
        share, worst = np.median(residuals, axis=0) if len(rows) else (np.nan, np.nan)
        exact = motion.curves.exact[rows].mean()
        click.echo(
            f"{number}: tilt {middle:.1f} [{low:.1f}, {high:.1f}] degrees, "
            f"{motion.solved.mean():.0%} of draws solved, {exact:.0%} of them exactly; "
            f"momentum off by {share:.1%} (root mean square), {worst:.0%} at most"
        )


def momentum_residual(motion: Motion, i: int) -> tuple[float, float]:
    """Return by how much a flight's angular momentum differs from what it was solved with.

    It is computed anew at 480 Hz from the postures and rotations of the motion.

    Returns:
        Root mean square and maximum of the difference's length, as shares of the momentum.
    """
    planned = motion.scripts[i].flights[-1]
    # Contact ends and begins between two steps of the integration, which the ends leave out.
    times = planned.start + np.arange(_EDGE, planned.seconds - _EDGE, 1 / _FINE)
    momentum = motion.curves.momentum_at(i, motion.bodies, times)
    main, lateral = motion.curves.momentum[i]
    off = np.linalg.norm(momentum - (0, lateral, -main), axis=1) / np.hypot(main, lateral)
    return float(np.sqrt((off**2).mean())), float(off.max())


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
    """Print mean rates between 60 and 300 degrees of motion captures and of simulated elements.

    So the ends, where captures rise from a crouch and land in one, are left out. The captured
    athlete of the backflip leaves the floor when a sixth of the turn is done, and is in a loose
    tuck for the rest.
    """
    kinds = {
        "backflip": Element("salto", "back", 2, 0, "tuck"),
        "sideflip": Element("salto", "sideways", 2, 0, "tuck"),
        "cartwheel": Element("cartwheel", "sideways"),
        "roll": Element("roll", "forward"),
    }
    for name, element in kinds.items():
        frames = np.array(json.loads((folder / f"humanoid3d_{name}.txt").read_text())["Frames"])
        root = Rotation.from_quat(frames[:, [5, 6, 7, 4]])
        steps = (root[1:] * root[:-1].inv()).as_rotvec()
        axis = steps.sum(axis=0) / np.linalg.norm(steps.sum(axis=0))
        turned = np.concatenate([[0], np.degrees(np.cumsum(steps @ axis))])
        seconds = np.concatenate([[0], np.cumsum(frames[:-1, 0])])
        motion = fly([element] * count, 2, gymnastics_script)
        mine = []
        for i in np.flatnonzero(motion.solved):
            span = motion.scripts[i].elements[-1]
            on = (motion.times[i] >= span.start) & (motion.times[i] <= span.end)
            mine.append(mean_rate(motion.times[i, on], motion.pitch[i, on]))
        click.echo(f"{name}: captured {mean_rate(seconds, turned):.0f} degrees/s, simulated "
                   f"{np.median(mine):.0f} [{min(mine):.0f}, {max(mine):.0f}]")  # fmt: skip


def mean_rate(seconds: np.ndarray, degrees: np.ndarray) -> float:
    """Return the mean rate, degrees per second, between 60 and 300 degrees of a rotation."""
    turned = np.maximum.accumulate(np.abs(degrees - 360 * np.round(degrees[0] / 360)))
    first, last = np.interp((60, 300), turned, seconds)
    return float(240 / (last - first))


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
    start = time.process_time()
    make_clips(dives, np.random.default_rng(0))
    click.echo(f"{len(dives) / (time.process_time() - start):.0f} clips per second of one core")


if __name__ == "__main__":
    main()
