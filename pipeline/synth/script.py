"""Scripts: what an athlete does in a clip, as key postures, contacts and flights over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..elements.element import Element
from .flight_keys import FlightKeys, flight_keys
from .posture import ANGLES, POSTURES, personal

OTHER, APPROACH, FLIGHT, LANDING = 0, 1, 2, 3
Contact = Literal["surface", "air", "bar", "water", "rise"]
SceneKind = Literal["springboard", "platform", "floor", "beam", "bar", "vault"]


@dataclass(frozen=True)
class Scene:
    """The place of a clip: x = 0 is the edge of the board or the apparatus, y = 0 water or floor.

    Attributes:
        kind: Of the board or apparatus.
        height: Metres of the surface, or of the bar, above water or floor.
        has_water: Whether y = 0 is water.
    """

    kind: SceneKind
    height: float
    has_water: bool = False


@dataclass(frozen=True)
class Span:
    """A time with one contact.

    Attributes:
        start: Seconds.
        end: Seconds.
        phase: 0 other, 1 on the board or apparatus, 2 flight, 3 entry or landing.
        contact: What holds the body: a surface under its lowest joint, nothing, a bar in the hands,
            water, or water from which it comes up again.
        surface: Metres, height of the surface or bar; in the air, of what the body comes down on.
        dip: Metres by which a springboard is bent down in the middle of the span.
        speed: Metres per second along x in the air.
    """

    start: float
    end: float
    phase: int
    contact: Contact
    surface: float
    dip: float = 0.0
    speed: float = 0.0


@dataclass(frozen=True)
class ElementSpan:
    """An element with its start and end in seconds of the script."""

    element: Element
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class PlannedFlight:
    """A flight whose rotation is to be solved: pitch and twist in degrees, keys since the start."""

    start: float
    seconds: float
    pitch_start: float
    twist_start: float
    pitch: float
    twist: float
    keys: FlightKeys


@dataclass(eq=False)
class Script:
    """What one athlete does; built by its methods, one after the other.

    Attributes:
        scene: The place.
        rng: Random state that the builder draws from.
        time: Seconds until now.
        pitch: Degrees, now; 0 is upright, 180 a handstand, positive where the head moved to x.
        twist: Degrees, now; 0 faces x, 180 faces -x.
        keys: Times and postures.
        pitches: Times and degrees.
        twists: Times and degrees.
        spans: In order, without gaps.
        flights: In order.
        elements: In order.
        anchor: Number of the span at whose end the lowest joint is at the edge, x = 0.
    """

    scene: Scene
    rng: np.random.Generator
    time: float = 0.0
    pitch: float = 0.0
    twist: float = 0.0
    keys: list[tuple[float, np.ndarray]] = field(default_factory=list)
    pitches: list[tuple[float, float]] = field(default_factory=list)
    twists: list[tuple[float, float]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    flights: list[PlannedFlight] = field(default_factory=list)
    elements: list[ElementSpan] = field(default_factory=list)
    anchor: int = 0
    scale: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        # People differ in how they hold a position, by some six percent of its angles.
        half = self.rng.normal(1, 0.06, len(ANGLES)).clip(0.86, 1.1)
        names = [name.removesuffix("_r") + "_l" if name.endswith("_r") else name for name in ANGLES]
        self.scale = half[[ANGLES.index(name) for name in names]]

    def begin(self, name: str, pitch: float = 0.0, twist: float = 0.0) -> None:
        """Set the first posture, pitch and twist."""
        self.pitch, self.twist = pitch, twist
        self.keys.append((0.0, personal(POSTURES[name], self.scale)))
        self._mark()

    def hold(
        self,
        seconds: float,
        moves: Sequence[tuple[float, str | np.ndarray]],
        *,
        phase: int = APPROACH,
        contact: Contact = "surface",
        pitch: float = 0.0,
        twist: float = 0.0,
        surface: float | None = None,
        dip: float = 0.0,
        speed: float = 0.0,
        rotate: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Add a span in which the rotation is prescribed.

        Args:
            seconds: Its length.
            moves: Shares of the span and the postures reached then, by name or angles.
            phase: See :class:`Span`.
            contact: See :class:`Span`.
            pitch: Degrees that are added.
            twist: Degrees that are added.
            surface: Metres; the scene's height without it.
            dip: See :class:`Span`.
            speed: See :class:`Span`.
            rotate: Shares of the span between which pitch and twist are added.
        """
        for share, key in moves:
            shape = POSTURES[key] if isinstance(key, str) else key
            self.keys.append((self.time + share * seconds, personal(shape, self.scale)))
        height = self.scene.height if surface is None else surface
        end = self.time + seconds
        self.spans.append(Span(self.time, end, phase, contact, height, dip, speed))
        for share in np.linspace(*rotate, 7):
            u = (share - rotate[0]) / (rotate[1] - rotate[0])
            when = self.time + share * seconds
            if when > self.pitches[-1][0] + 1e-4:
                done = u * u * (3 - 2 * u)
                self.pitches.append((when, self.pitch + done * pitch))
                self.twists.append((when, self.twist + done * twist))
        self.time, self.pitch, self.twist = end, self.pitch + pitch, self.twist + twist
        self._mark()

    def fly(
        self,
        element: Element,
        seconds: float,
        *,
        pitch: float,
        twist: float,
        end: np.ndarray,
        surface: float,
        speed: float,
    ) -> None:
        """Add a flight whose rotation follows from mechanics; arguments as in :meth:`hold`.

        Args:
            element: What decides its postures.
            seconds: From take-off to landing.
            pitch: Degrees that the body has to pitch by.
            twist: Degrees that it has to twist by.
            end: (A,) degrees, posture at its end.
            surface: Metres, height of what the body comes down on.
            speed: Metres per second along x.
        """
        sign = 1.0 if twist >= 0 else -1.0
        keys = flight_keys(element, seconds, sign, end, self.scale, self.rng)
        self.flights.append(
            PlannedFlight(self.time, seconds, self.pitch, self.twist, pitch, twist, keys)
        )
        self.spans.append(Span(self.time, self.time + seconds, FLIGHT, "air", surface, speed=speed))
        self.time += seconds
        self.pitch, self.twist = self.pitch + pitch, self.twist + twist
        self._mark()

    def _mark(self) -> None:
        self.pitches.append((self.time, self.pitch))
        self.twists.append((self.time, self.twist))

    def walk(self, steps: int, step_seconds: float, bend: float, phase: int = APPROACH) -> None:
        """Add steps on the surface: stance and swing, arms swinging against the legs."""
        left = bool(self.rng.integers(2))
        for _ in range(steps):
            ahead, behind = ("l", "r") if left else ("r", "l")
            stride = POSTURES["stand"].copy()
            passing = POSTURES["stand"].copy()
            at = {name: i for i, name in enumerate(ANGLES)}
            stride[at[f"hip_{ahead}"]], stride[at[f"hip_{behind}"]] = bend, -0.6 * bend
            stride[at[f"knee_{behind}"]] = 0.5 * bend
            stride[at[f"lift_{ahead}"]], stride[at[f"lift_{behind}"]] = -0.8 * bend, 0.9 * bend
            passing[at[f"hip_{behind}"]], passing[at[f"knee_{behind}"]] = 0.9 * bend, 2 * bend
            self.hold(step_seconds, [(0.55, stride), (1.0, passing)], phase=phase)
            left = not left
