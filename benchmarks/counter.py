"""How well the kinematic counter counts: on simulated dives, and on a real dive's joints.

    python benchmarks/counter.py priors
    python benchmarks/counter.py fit
    python benchmarks/counter.py simulated [--by counter|network|both] [--net flight_factors.json]
    python benchmarks/counter.py divers ../shared

`fit` prints the coefficients of `pipeline/elements/calibration.py`, fitted on simulated dives of
seed 101, a third of them cut at random; `simulated` reports on those of seed 202, whole, with a
long approach, and cut anywhere: by the counter alone, by the network that reads flights (where
they are, the counter says), or by both as `skelact predict` does, with the network that ships. A
clip that shows a part of the flight alone cannot be counted right: such clips are left out, and
their number is printed. Real clips are measured by `dives.py`. That neighbouring flights of
opposite sense are joined was added after a look at dive_207C, which is not held out any more.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from logistic import fit_logistic
from scipy.optimize import minimize

from skelact.pipeline.elements.calibration import POSITIONS, twist_chances, twist_priors
from skelact.pipeline.elements.counted import CountedFlight
from skelact.pipeline.elements.counter import count_flights
from skelact.pipeline.elements.dive_counts import dive_counts
from skelact.pipeline.elements.element import Element, diving48_elements
from skelact.pipeline.elements.flight_answers import (
    flight_features,
    flight_travel,
    turn_features,
)
from skelact.pipeline.elements.flight_reader import (
    SHIPPED_FLIGHT_NET,
    ReadFlights,
    flight_reader,
    read_flights,
)
from skelact.pipeline.elements.flights import find_flights
from skelact.pipeline.elements.signals import measure_body
from skelact.pipeline.elements.trunk_angle import trunk_path
from skelact.pipeline.elements.twist import count_twists
from skelact.pipeline.synth.camera import camera_maps
from skelact.pipeline.synth.clips import ClipConfig, make_clips

FIT_SEED, REPORT_SEED = 101, 202
NOISES = (0.0, 1.0, 2.0)
# Who counts, and the share of the network in it.
READERS: dict[str, float | None] = {"counter": None, "network": 1.0, "both": 0.5}
# Error of an estimate of the camera's motion, pixels per frame.
_CAMERA_NOISE = 0.3
# Shoulders and hips, and the share of a flight in which they have to be in the picture: a camera
# that stands may lose a diver, whom nobody can count then.
_TORSO, _MIN_SHOWN = [5, 6, 11, 12], 0.9
_SHOWN = ("half_somersaults", "half_twists", "position", "forward", "takeoff", "all")


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated dive.

    Attributes:
        keypoints: (T, 17, 2) float32, pixels.
        scores: (T, 17) float32.
        seconds: (T,) float64.
        camera_maps: (T, 2, 3) float32, from the pixels of each frame to those of the scene.
        element: The dive.
        flight: First frame in flight, and the frame after its last; outside where it is cut.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    camera_maps: np.ndarray
    element: Element
    flight: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether all of the flight is in the clip, and the athlete in the picture."""
        start, end = self.flight
        if start < 0 or end > len(self.seconds):
            return False
        torso = (self.scores[start:end, _TORSO] > 0).all(axis=1)
        return bool(torso.mean() >= _MIN_SHOWN)


def make_scenes(
    count: int, *, noise: float, seed: int, lead: float = 0.5, tail: float = 0.5
) -> list[Scene]:
    """Simulate dives of the 48 classes of Diving48, equally often, at 24 to 60 fps."""
    rng = np.random.default_rng([seed, round(10 * noise), count])
    _, dives = diving48_elements()
    chosen = [dives[i] for i in rng.permutation(np.arange(count) % len(dives))]
    config = ClipConfig(noise, None, (lead, lead), (tail, tail), slow_motion=0, cut_chance=0)
    scenes = []
    for clip in make_clips(chosen, rng, config):
        motion = clip.camera_motion.copy()
        motion[:, :2] += rng.normal(0, _CAMERA_NOISE, (len(clip.phase), 2))
        maps = camera_maps(motion, clip.img_shape)
        span = clip.elements[-1]
        seconds = np.arange(len(clip.phase)) / clip.fps
        scenes.append(Scene(clip.keypoints, clip.keypoint_scores, seconds, maps, span.element,
                            (span.start, span.end)))  # fmt: skip
    return scenes


@dataclass(frozen=True)
class Judged:
    """Answers about a clip's main flight: whether they are right, and their confidences."""

    right: dict[str, bool]
    confidence: dict[str, float]


@click.group()
def main() -> None:
    """Measure the kinematic counter."""


def cut(scene: Scene, rng: np.random.Generator) -> Scene:
    """Cut a scene anywhere, keeping at least half a second."""
    frames = len(scene.seconds)
    least = max(int(0.5 / scene.seconds[1]), 8)
    start = int(rng.integers(0, max(frames // 2, 1)))
    end = int(rng.integers(min(start + least, frames), frames + 1))
    part = slice(start, end)
    return replace(
        scene, keypoints=scene.keypoints[part], scores=scene.scores[part],
        seconds=scene.seconds[part], camera_maps=scene.camera_maps[part],
        flight=(scene.flight[0] - start, scene.flight[1] - start),
    )  # fmt: skip


def main_flight(flights: tuple[CountedFlight, ...]) -> CountedFlight | None:
    """Return the flight with the most somersaults."""
    return max(flights, key=lambda one: one.half_somersaults.value, default=None)


def judge(flight: CountedFlight | None, truth: Element) -> Judged:
    """Compare a flight with the dive that it is."""
    if flight is None:
        return Judged(dict.fromkeys(("half_somersaults", "half_twists"), False), {})
    along = truth.takeoff in ("forward", "back")
    pairs = {
        "half_somersaults": (flight.half_somersaults, truth.half_somersaults),
        "half_twists": (flight.half_twists, truth.half_twists),
        "position": (flight.position, truth.position),
        "forward": (flight.rotates_forward, truth.rotates_forward),
        "travel": (flight.rotates_with_travel, along),
    }
    pairs = {name: pair for name, pair in pairs.items() if pair[0] is not None}
    right = {name: answer.value == value for name, (answer, value) in pairs.items()}
    right["all"] = all(right.values())
    right["takeoff"] = right["forward"] and right.get("travel", False)
    confidence = {name: answer.confidence for name, (answer, _) in pairs.items()}
    confidence["all"] = float(np.prod(list(confidence.values())))
    return Judged(right, confidence)


@main.command()
@click.option("--clips", default=192, show_default=True, help="Of each noise.")
def fit(clips: int) -> None:
    """Fit the chances of `pipeline/elements/calibration.py`."""
    rng = np.random.default_rng(FIT_SEED)
    rows: dict[str, list[tuple[list[float], int]]] = {}
    twists: list[tuple[np.ndarray, np.ndarray, int]] = []
    for noise in NOISES:
        for number, scene in enumerate(make_scenes(clips, noise=noise, seed=FIT_SEED)):
            shown = cut(scene, rng) if number % 3 == 0 else scene
            evidence = _evidence(shown) if shown.is_whole else None
            if evidence is None:
                continue
            features, is_right, twist = evidence
            for name, row in features.items():
                rows.setdefault(name, []).append((row, is_right[name]))
            twists.append((*twist, int(scene.element.half_twists or 0)))
    for name, pairs in rows.items():
        features = np.array([row for row, _ in pairs])
        labels = np.array([label for _, label in pairs])
        classes = len(POSITIONS) if name == "position" else 2
        found = fit_logistic(features, labels, np.arange(len(labels)), classes)
        click.echo(f"    # {name}: penalty {found.penalty:g}, left-out log loss {found.loss:.3f}")
        fitted = found.coefficients
        for index, row in enumerate(fitted if classes > 2 else (fitted[1] - fitted[0])[None]):
            key = POSITIONS[index] if classes > 2 else name
            click.echo(f'    "{key}": ({", ".join(f"{value:.2f}" for value in row)}),')
    weights = ", ".join(f"{weight:.2f}" for weight in _fit_twist_weights(twists))
    click.echo(f"_TWIST_WEIGHTS = ({weights})")


@main.command()
def priors() -> None:
    """Count the positions of real dives with twists."""
    positions: Counter[tuple[bool, str | None]] = Counter()
    for dive, count in dive_counts().items():
        if dive.half_twists:
            positions[(dive.half_somersaults or 0) >= 5, dive.position] += count
    for (is_many, position), count in sorted(positions.items()):
        least = "2 1/2 somersaults and more" if is_many else "fewer"
        click.echo(f"with twists, {least}: {count} x {position}")


def _evidence(
    scene: Scene,
) -> tuple[dict[str, list[float]], dict[str, int], tuple[np.ndarray, np.ndarray]] | None:
    """Return features of the answers about the main flight, what they should be, and twists.

    The latter are how well each number of half twists explains the flight, and how common it is.
    """
    body = measure_body(scene.keypoints, scene.scores, scene.camera_maps)
    if body is None:
        return None
    path, agreement = trunk_path(body.axes, body.axis_weight)
    spans = find_flights(
        path, agreement, body.center, body.center_weight, scene.seconds, fits_ballistics=True
    )
    if not spans:
        return None
    span = max(spans, key=lambda one: abs(one.turn))
    turn = round(abs(span.turn) / np.pi)
    twist = count_twists(body, path, max(span.start - 1, 0), span.end, scene.seconds)
    half_twists = int(twist_chances(twist.values, turn).argmax())
    travelled = flight_travel(span, body, scene.seconds)
    features = flight_features(span, body, agreement, twist, half_twists)
    features["half_somersaults"] = turn_features(span, agreement)
    features["travel"] = [abs(travelled), span.ballistic]
    truth = scene.element
    along = truth.takeoff in ("forward", "back")
    is_right = {
        "half_somersaults": int(turn == truth.half_somersaults),
        "forward": int((span.sense * twist.front > 0) == truth.rotates_forward),
        "travel": int((span.sense * travelled > 0) == along),
        "position": POSITIONS.index(truth.position),
    }
    return features, is_right, (twist.values, twist_priors(turn))


def _fit_twist_weights(rows: list[tuple[np.ndarray, np.ndarray, int]]) -> np.ndarray:
    """Return the weights of what is seen and of how common it is, by maximum likelihood."""
    values = np.stack([[seen, common] for seen, common, _ in rows], axis=1)  # (2, N, 10)
    truth = np.array([label for _, _, label in rows])

    def loss(weights: np.ndarray) -> float:
        logits = np.tensordot(weights, values, 1)
        logits = logits - logits.max(axis=1, keepdims=True)
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return -float(np.log(np.maximum(chances[np.arange(len(truth)), truth], 1e-12)).mean())

    found: np.ndarray = minimize(loss, (1.0, 1.0), method="Nelder-Mead").x
    return found


@main.command()
@click.option("--clips", default=144, show_default=True, help="Of each noise and kind.")
@click.option("--by", type=click.Choice(list(READERS)), default="both", show_default=True)
@click.option("--noise", "noises", type=float, multiple=True, help="Noises [0, 1, 2].")
@click.option("--seed", default=REPORT_SEED, show_default=True)
@click.option(
    "--net",
    type=click.Path(exists=True, path_type=Path),
    default=SHIPPED_FLIGHT_NET,
    help="Model file of `skelact train-flight` [the one that ships].",
)
@click.option("--only", multiple=True, help="Combinations alone, such as '5 3 pike'.")
def simulated(
    clips: int, by: str, noises: tuple[float, ...], seed: int, net: Path,
    only: tuple[str, ...],
) -> None:  # fmt: skip
    """Report on simulated dives that nothing was fitted on, whole, long and cut."""
    share = READERS[by]
    read = None if share is None else flight_reader(net, share)
    kinds = {"whole": (0.5, 0.5), "long": (2.0, 1.0), "cut": (2.0, 1.0)}
    judged: list[Judged] = []
    click.echo(f"by {by}, seed {seed}")
    rng = np.random.default_rng(seed)
    for noise in noises or NOISES:
        for kind, (lead, tail) in kinds.items():
            if kind == "long" and noise != 1:
                continue
            scenes = make_scenes(clips, noise=noise, seed=seed, lead=lead, tail=tail)
            scenes = [one for one in scenes if not only or _combination(one.element) in only]
            if kind == "cut":
                scenes = [cut(scene, rng) for scene in scenes]
            begun = time.process_time()
            found = [judge(main_flight(_flights(scene, read)), scene.element) for scene in scenes]
            frames = sum(len(scene.seconds) for scene in scenes)
            cost = 1000 * (time.process_time() - begun) / frames * 100
            shown = [scene for scene in scenes if scene.is_whole]
            whole = [one for one, scene in zip(found, scenes) if scene.is_whole]
            judged += whole
            click.echo(
                f"noise {noise:g}, {kind}, {len(whole)} clips: {_shares(whole)}; "
                f"{len(found) - len(whole)} show a part alone; {cost:.1f} ms per 100 frames"
            )
            if read is not None:
                alone = [judge(main_flight(_flights(one, None)), one.element) for one in shown]
                click.echo(f"  more than the counter alone: {_gains(whole, alone)}")
    _reliability(judged)


def _combination(element: Element) -> str:
    return f"{element.half_somersaults} {element.half_twists} {element.position}"


def _flights(scene: Scene, read: ReadFlights | None) -> tuple[CountedFlight, ...]:
    clip = count_flights(scene.keypoints, scene.scores, scene.seconds, scene.camera_maps, read=read)
    return clip.flights


def _gains(found: list[Judged], alone: list[Judged]) -> str:
    """Return how much more is right than by others of the same clips, with 95 % intervals."""
    texts = []
    for name in _SHOWN:
        pairs = [[one.right.get(name, False) for one in both] for both in zip(found, alone)]
        gains = np.subtract(*np.array(pairs, float).T)
        spread = 1.96 * gains.std() / np.sqrt(len(gains))
        mean = gains.mean()
        texts.append(f"{name} {mean:+.3f} [{mean - spread:+.3f}, {mean + spread:+.3f}]")
    return ", ".join(texts)


def _shares(found: list[Judged]) -> str:
    shares = {name: np.mean([one.right.get(name, False) for one in found]) for name in _SHOWN}
    return ", ".join(f"{name} {share:.3f}" for name, share in shares.items())


def _reliability(judged: list[Judged]) -> None:
    """Print the expected calibration error in ten bins, and what is right where it is believed."""
    for name in ("half_somersaults", "half_twists", "position", "forward", "travel", "all"):
        known = [one for one in judged if name in one.confidence]
        chance = np.array([one.confidence[name] for one in known])
        right = np.array([one.right[name] for one in known], float)
        bins = np.minimum((chance * 10).astype(int), 9)
        gaps = [
            abs(chance[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
            for b in np.unique(bins)
        ]
        believed = chance >= 0.5
        firm = chance >= 0.9
        firm_right = right[firm].mean() if firm.any() else 1.0
        click.echo(
            f"{name}: expected calibration error {sum(gaps):.3f}; "
            f"of {believed.mean():.3f} believed {right[believed].mean():.3f} right; "
            f"of {firm.mean():.3f} at .9 and more {firm_right:.3f} right"
        )


@main.command()
@click.argument("shared", type=click.Path(exists=True, path_type=Path))
def divers(shared: Path) -> None:
    """Read a real dive from its annotated joints: half a somersault forwards in pike."""
    data = np.load(shared / "data/divers/diver1.npz")
    # The last frame is another athlete's.
    visible = data["visible"][:-1].astype(np.float32)
    seconds = np.arange(len(visible)) / 25.0
    for by, read in (("counter", None), ("both", read_flights)):
        click.echo(f"by {by}")
        _show(count_flights(data["keypoints"][:-1], visible, seconds, read=read).flights)


def _show(flights: tuple[CountedFlight, ...]) -> None:
    for flight in flights:
        answers = {
            name: getattr(flight, name)
            for name in ("half_somersaults", "half_twists", "position", "rotates_forward")
        }
        text = ", ".join(
            f"{name} {answer.value} ({answer.confidence:.2f})" for name, answer in answers.items()
        )
        click.echo(f"  frames {flight.first_frame} to {flight.last_frame}: {text}")


if __name__ == "__main__":
    main()
