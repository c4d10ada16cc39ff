"""How well elements on the ground are named: flic-flac, walkover, cartwheel, roll, giant.

    python benchmarks/turns.py fit
    python benchmarks/turns.py simulated
    python benchmarks/turns.py captures ../shared
    python benchmarks/turns.py limits ../shared
    python benchmarks/turns.py slow-motion

`fit` prints the coefficients of `pipeline/elements/turn_calibration.py`, fitted on simulated clips
of seed 303; `simulated` names the elements of clips of seed 404 under the measured errors of our
poses, and shows what each kind is named; `captures` does so with motion captures, filmed by
simulated cameras; `limits` shows what tells flights from others, and `slow-motion` whether the pace
of a clip is told. Real clips are measured by `dives.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import click
import numpy as np
from logistic import fit_logistic
from rich.console import Console
from rich.table import Table

from skelact.pipeline.elements.counted import CountedFlight
from skelact.pipeline.elements.element import Element, diving48_elements
from skelact.pipeline.elements.recognise import RecognisedElement, count_person, recognise_elements
from skelact.pipeline.elements.signals import measure_body
from skelact.pipeline.elements.slow_motion import times_slower
from skelact.pipeline.elements.supported import in_scene
from skelact.pipeline.elements.trunk_angle import trunk_path
from skelact.pipeline.elements.turn_calibration import STEP_FEATURES, STEP_OUTCOMES
from skelact.pipeline.elements.turn_features import TurnFeatures, measure_turn
from skelact.pipeline.elements.turns import find_turns
from skelact.pipeline.synth.camera import camera_maps
from skelact.pipeline.synth.captures import film_capture, read_capture
from skelact.pipeline.synth.clips import ClipConfig, SynthClip, make_clips
from skelact.pose_extract.skeleton import SkeletonSequence

FIT_SEED, REPORT_SEED = 303, 404
NOISES = (0.0, 1.0, 2.0)
# Elements that are named, with what is much like them and has no name of its own.
GROUND = (
    Element("flic_flac", "back"),
    Element("walkover", "forward"),
    Element("walkover", "back"),
    Element("cartwheel", "sideways"),
    Element("roll", "forward"),
    Element("roll", "back"),
    Element("giant", "forward"),
    Element("giant", "back"),
    Element("handstand"),
    Element("other"),
    Element("other", "sideways"),
)
SALTOS = (
    *(Element("salto", way, 2, twists, position)
      for way in ("forward", "back") for position in ("tuck", "pike", "straight")
      for twists in (0, 1, 2)),
    Element("salto", "sideways", 2, 0, "tuck"),
    Element("salto", "back", 4, 0, "tuck"),
)  # fmt: skip
# Error of an estimate of the camera's motion, pixels per frame.
_CAMERA_NOISE = 0.3
_CHUNK = 96
_HANDS = ("flic_flac", "walkover", "cartwheel")
_COLUMNS = ("flic_flac", "walkover", "cartwheel", "roll", "giant", "handstand", "salto", "dive")
# What captures are, and which is the right name.
CAPTURES = {
    "backflip": "salto", "sideflip": "salto", "cartwheel": "cartwheel", "roll": "roll",
    "spin": "", "spinkick": "", "jump": "",
}  # fmt: skip


@click.group()
def main() -> None:
    """Measure the names of elements on the ground."""


@dataclass(frozen=True, eq=False)
class Filmed:
    """A simulated clip, its skeletons as an extraction has them, and its index."""

    clip: SynthClip
    sequence: SkeletonSequence


def film_elements(
    elements: Sequence[Element], *, noise: float, seed: int, slow_motion: float = 0.06
) -> Iterator[Filmed]:
    """Simulate clips with .2 to 2 s before and .2 to 1.5 s after their elements."""
    rng = np.random.default_rng([seed, round(10 * noise)])
    config = ClipConfig(noise, None, (0.2, 2.0), (0.2, 1.5), slow_motion, 0)
    for start in range(0, len(elements), _CHUNK):
        for clip in make_clips(elements[start : start + _CHUNK], rng, config):
            motion = clip.camera_motion.copy()
            motion[:, :2] += rng.normal(0, _CAMERA_NOISE, (len(motion), 2))
            maps = camera_maps(motion, clip.img_shape)
            yield Filmed(
                clip,
                _sequence(clip.keypoints, clip.keypoint_scores, maps, clip.img_shape, clip.fps),
            )


def _sequence(
    keypoints: np.ndarray,
    scores: np.ndarray,
    maps: np.ndarray,
    img_shape: tuple[int, int],
    fps: float,
) -> SkeletonSequence:
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    return SkeletonSequence(
        keypoints=keypoints[None],
        keypoint_scores=scores[None],
        bboxes=np.concatenate([low, high], axis=-1)[None],
        track_ids=np.arange(1),
        frame_inds=np.arange(len(keypoints)),
        img_shape=img_shape,
        fps=Fraction(fps).limit_denominator(1001),
        layout="coco_17",
        video_id="simulated",
        camera_maps=maps,
    )


@main.command()
@click.option("--clips", default=132, show_default=True, help="On the ground, of each noise.")
def fit(clips: int) -> None:
    """Fit the chances of `pipeline/elements/turn_calibration.py`."""
    rows: list[tuple[TurnFeatures, Element | None]] = []
    clip_of: list[int] = []
    rng = np.random.default_rng(FIT_SEED)
    dives = diving48_elements()[1]
    elements = [GROUND[i % len(GROUND)] for i in range(clips)]
    elements += [SALTOS[i] for i in rng.integers(len(SALTOS), size=clips // 2)]
    elements += [dives[i] for i in rng.integers(len(dives), size=clips // 3)]
    # More slow motion than there is, so that time is not all that tells.
    films = [
        film_elements(elements, noise=noise, seed=FIT_SEED, slow_motion=0.15) for noise in NOISES
    ]
    for number, filmed in enumerate(chain.from_iterable(films)):
        measured = _measured(filmed)
        rows += measured
        clip_of += [number] * len(measured)
    for step, names in STEP_FEATURES.items():
        targets = [_target(step, element) for _, element in rows]
        asked = [i for i, target in enumerate(targets) if target is not None]
        outcomes = STEP_OUTCOMES[step]
        fitted = fit_logistic(
            np.array([rows[i][0].pick(names) for i in asked]),
            np.array([outcomes.index(str(targets[i])) for i in asked]),
            np.array([clip_of[i] for i in asked]),
            len(outcomes),
        )
        click.echo(f"    # penalty {fitted.penalty:g}, left-out log loss {fitted.loss:.3f}")
        click.echo(f'    "{step}": (')
        for row in fitted.coefficients:
            click.echo(f"        ({', '.join(f'{value:.2f}' for value in row)}),")
        click.echo("    ),")


def _measured(filmed: Filmed) -> list[tuple[TurnFeatures, Element | None]]:
    """Return the features of each turn of a clip, and the element that it belongs to."""
    sequence = filmed.sequence
    keypoints, scores = sequence.keypoints[0], sequence.keypoint_scores[0]
    body = measure_body(keypoints, scores, sequence.camera_maps)
    if body is None:
        return []
    path, agreement = trunk_path(body.axes, body.axis_weight)
    points = in_scene(keypoints, sequence.camera_maps) / body.torso
    seconds = sequence.pts_seconds
    rows = []
    for turn in find_turns(path, seconds):
        features = measure_turn(turn, body, points, scores.astype(float), path, agreement, seconds)
        # Nothing else is asked of.
        if features.on_back or features.on_hands:
            rows.append((features, _labelled(filmed.clip, sum(turn.core) / 2)))
    return rows


def _labelled(clip: SynthClip, frame: float) -> Element | None:
    for span in clip.elements:
        if span.start <= frame < span.end:
            return span.element
    return None


def _target(step: str, element: Element | None) -> str | None:
    """Return what a step should say of a turn; None if it is not asked of such turns."""
    kind = element.kind if element else "none"
    # Of what goes over the hands the round-off alone is called "other".
    over_hands = kind in (*_HANDS, "other")
    flies = kind in ("salto", "dive")
    if step == "support":
        return "flight" if flies else "held"
    if step == "part":
        return kind if kind == "roll" else "hands" if over_hands and not flies else None
    if step == "hands":
        return (kind if kind in _HANDS else "none") if over_hands else None
    return element.takeoff if element and kind in ("walkover", "roll") else None


@main.command()
@click.option("--clips", default=132, show_default=True, help="On the ground.")
@click.option("--noise", default=1.0, show_default=True, help="1: measured errors; 0: none.")
def simulated(clips: int, noise: float) -> None:
    """Name the elements of simulated clips that nothing was fitted on."""
    rng = np.random.default_rng(REPORT_SEED)
    dives = diving48_elements()[1]
    elements = [GROUND[i % len(GROUND)] for i in range(clips)]
    elements += [SALTOS[i] for i in rng.integers(len(SALTOS), size=clips // 3)]
    elements += [dives[i] for i in rng.integers(len(dives), size=clips // 3)]
    counts: dict[str, Counter[str]] = {}
    ways: list[bool] = []
    believed: list[tuple[float, bool]] = []
    for filmed in film_elements(elements, noise=noise, seed=REPORT_SEED):
        found = list(recognise_elements(filmed.sequence))
        seconds = filmed.sequence.pts_seconds
        for span in filmed.clip.elements:
            if not span.is_whole:
                continue
            middle = float(seconds[(span.start + span.end) // 2])
            named = next((one for one in found if _covers(one, middle)), None)
            row = counts.setdefault(_row(span.element), Counter())
            row[named.element.kind if named else "nothing"] += 1
            if named is not None and named.element.kind in (*_HANDS, "roll"):
                truth = span.element
                right = named.element.kind == truth.kind
                if right and named.element.takeoff:
                    ways.append(named.element.takeoff == truth.takeoff)
                    right = ways[-1]
                believed.append((named.confidence, right))
        labelled = [(seconds[s.start], seconds[s.end - 1]) for s in filmed.clip.elements]
        for one in found:
            middle = (one.start_seconds + one.end_seconds) / 2
            if not any(start <= middle <= end for start, end in labelled):
                counts.setdefault("(between elements)", Counter())[one.element.kind] += 1
    _print(counts)
    click.echo(f"direction right in {np.mean(ways):.3f} of {len(ways)} that say one")
    click.echo(
        f"{len(believed)} named, mean confidence {np.mean([c for c, _ in believed]):.3f}, "
        f"{np.mean([r for _, r in believed]):.3f} of them right in kind and direction"
    )


def _row(element: Element) -> str:
    if element.kind == "other":
        return "round-off" if element.takeoff == "sideways" else "leap"
    return element.kind


def _covers(one: RecognisedElement, seconds: float) -> bool:
    return one.start_seconds <= seconds <= one.end_seconds


def _print(counts: dict[str, Counter[str]]) -> None:
    table = Table("is", *_COLUMNS, "nothing")
    for kind, row in counts.items():
        table.add_row(kind, *(str(row[name] or "") for name in (*_COLUMNS, "nothing")))
    Console(width=110).print(table)


@main.command()
@click.argument("shared", type=click.Path(exists=True, path_type=Path))
@click.option("--cameras", default=24, show_default=True)
@click.option("--noise", default=1.0, show_default=True, help="1: measured errors; 0: none.")
def captures(shared: Path, cameras: int, noise: float) -> None:
    """Name what is done in motion captures, filmed by simulated cameras."""
    counts: dict[str, Counter[str]] = {}
    for name in CAPTURES:
        row = counts.setdefault(name, Counter())
        for sequence in _captured(shared, name, cameras, noise):
            found = recognise_elements(sequence)
            row.update([element.element.kind for element in found] or ["nothing"])
    _print(counts)


def _captured(shared: Path, name: str, cameras: int, noise: float) -> Iterator[SkeletonSequence]:
    joints, seconds = read_capture(shared / "data" / "mocap" / f"humanoid3d_{name}.txt")
    rng = np.random.default_rng(REPORT_SEED)
    keypoints, scores, motion, _ = film_capture(joints, seconds, rng, count=cameras, noise=noise)
    for one, score, moved in zip(keypoints, scores, motion):
        maps = camera_maps(moved, (720, 1280))
        yield _sequence(one, score, maps, (720, 1280), 30.0)


@main.command()
@click.argument("shared", type=click.Path(exists=True, path_type=Path))
@click.option("--clips", default=96, show_default=True, help="Simulated saltos, and dives.")
@click.option("--cameras", default=24, show_default=True)
@click.option("--noise", default=2.0, show_default=True, help="Of simulated clips.")
def limits(shared: Path, clips: int, cameras: int, noise: float) -> None:
    """Show what tells flights that turn once or more from what is none.

    Torso lengths by which the shoulders are below the hips, and how sure the network is that it is
    one whole flight.
    """
    rng = np.random.default_rng(FIT_SEED)
    sources: list[tuple[str, Iterator[SkeletonSequence]]] = []
    for name, elements in (("salto", SALTOS), ("dive", diving48_elements()[1])):
        chosen = [elements[i] for i in rng.integers(len(elements), size=clips)]
        films = film_elements(chosen, noise=noise, seed=FIT_SEED)
        sources.append((f"simulated {name}", (filmed.sequence for filmed in films)))
    sources += [(f"captured {name}", _captured(shared, name, cameras, 1.0)) for name in CAPTURES]
    counted = [(name, [f for one in each for f in _turning(one)]) for name, each in sources]
    for title, read in (
        ("Shoulders below hips", lambda flight: flight.inverted),
        ("One whole flight", lambda flight: flight.whole),
    ):
        table = Table("is", "flights", "least", "5 %", "median", "95 %", "most", title=title)
        for name, flights in counted:
            values = [read(flight) for flight in flights]
            figures = np.quantile(values, [0, 0.05, 0.5, 0.95, 1]) if values else []
            table.add_row(name, str(len(values)), *(f"{figure:.2f}" for figure in figures))
        Console(width=110).print(table)


@main.command("slow-motion")
@click.option("--clips", default=96, show_default=True, help="Saltos, and dives, of each pace.")
@click.option("--noise", default=1.0, show_default=True)
def slow_motion(clips: int, noise: float) -> None:
    """Tell how slow simulated saltos and dives are shown, and name them.

    Clips in real time, and clips 2 to 8 times slower. `told` are those in which a flight tells the
    pace; of them the quotient of what is told and what is true.
    """
    rng = np.random.default_rng(REPORT_SEED)
    table = Table("is", "shown", "told", "5 %", "median", "95 %", "kind and somersaults right")
    for kind, elements in (("salto", SALTOS), ("dive", diving48_elements()[1])):
        chosen = [elements[i] for i in rng.integers(len(elements), size=clips)]
        for shown, chance in (("in real time", 0.0), ("slower", 1.0)):
            quotients, right = [], []
            films = film_elements(chosen, noise=noise, seed=REPORT_SEED + 1, slow_motion=chance)
            for filmed, element in zip(films, chosen):
                sequence = filmed.sequence
                told = times_slower(
                    sequence.keypoints[0],
                    sequence.keypoint_scores[0],
                    sequence.pts_seconds,
                    sequence.camera_maps,
                )
                if told > 1:
                    quotients.append(told / filmed.clip.slow_motion)
                known = kind, element.half_somersaults
                found = [one.element for one in recognise_elements(sequence)]
                right.append(any((one.kind, one.half_somersaults) == known for one in found))
            cells = (
                [f"{q:.2f}" for q in np.quantile(quotients, [0.05, 0.5, 0.95])] if quotients else []
            )
            cells += [""] * (3 - len(cells))
            told_share = f"{len(quotients)} of {clips}"
            table.add_row(kind, shown, told_share, *cells, f"{100 * np.mean(right):.0f} %")
    Console(width=110).print(table)


def _turning(sequence: SkeletonSequence) -> list[CountedFlight]:
    counted = count_person(sequence, 0)
    return [
        flight
        for flight in counted.clip.flights
        if flight.inverted is not None and int(flight.half_somersaults.value) >= 2
    ]


if __name__ == "__main__":
    main()
