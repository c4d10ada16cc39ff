"""What the counter says of a flight: answers, each with the chance that it is right."""

from __future__ import annotations

from dataclasses import dataclass

from .element import Element, Position, Takeoff

# Below it an answer is not given: others are as probable.
MIN_CONFIDENCE = 1 / 3


@dataclass(frozen=True)
class Answer:
    """A value, also where it is doubtful, and the chance that it is right.

    Attributes:
        value: An int, bool or name.
        confidence: 0 to 1.
        other: What it is if it is not that.
        other_confidence: The chance of it.
    """

    value: int | bool | str
    confidence: float
    other: int | bool | str
    other_confidence: float

    @property
    def believed(self) -> bool:
        """Whether the answer is probable enough to be given."""
        return self.confidence >= MIN_CONFIDENCE

    @property
    def instead(self) -> Answer:
        """The other value as an answer that is given."""
        confidence = max(self.other_confidence, MIN_CONFIDENCE)
        return Answer(self.other, confidence, self.value, self.confidence)


@dataclass(frozen=True)
class CountedFlight:
    """A flight and what is done in it.

    Attributes:
        first_frame, last_frame: Frames in flight, both within it.
        clockwise: Whether the body rotates clockwise in the image.
        ballistic: 0 to 1, how freely its centre falls; 0 where the camera's motion is not known.
        from_hands: Whether it begins upside down: an armstand.
        seen: 0 to 1, mean score of the joints in flight.
        inverted: Torso lengths by which the shoulders are below the hips in two frames at least;
            below 0 where they are above them, None where they are seen in fewer.
        drop: Torso lengths by which the centre falls from its first to its last frame; None without
            the camera's motion.
        lands_upright: Whether the trunk is upright, and seen, for most of the half second after it;
            None if the body is not seen then.
        half_somersaults, half_twists: int answers.
        rotates_forward: bool answer: towards the chest, or towards the back.
        rotates_with_travel: bool answer: whether the head, or in an armstand the feet, goes first
            to where the athlete flies. True for forward and back dives, False for reverse and
            inward ones; None without the camera's motion.
        position: Answer, one of "straight", "pike", "tuck", "free".
        whole: 0 to 1, the chance that this is one flight and all of it, and neither a part nor
            something else; 1 for the counter, which cannot tell.
    """

    first_frame: int
    last_frame: int
    clockwise: bool
    ballistic: float
    from_hands: bool
    seen: float
    inverted: float | None
    drop: float | None
    lands_upright: bool | None
    half_somersaults: Answer
    half_twists: Answer
    rotates_forward: Answer
    rotates_with_travel: Answer | None
    position: Answer
    whole: float = 1.0

    def as_dive(self) -> Element:
        """Return the dive, with None for what cannot be said."""
        return Element("dive", self._takeoff(), *self._counts())

    def as_salto(self) -> Element:
        """Return the salto, with None for what cannot be said."""
        takeoff: Takeoff | None = None
        if self.rotates_forward.believed:
            takeoff = "forward" if self.rotates_forward.value else "back"
        half_somersaults, half_twists, position = self._counts()
        # "Free" is a position of dives alone.
        position = None if position == "free" else position
        return Element("salto", takeoff, half_somersaults, half_twists, position)

    def _counts(self) -> tuple[int | None, int | None, Position | None]:
        half_somersaults, half_twists, position = (
            answer.value if answer.believed else None
            for answer in (self.half_somersaults, self.half_twists, self.position)
        )
        return half_somersaults, half_twists, position  # type: ignore[return-value]

    def _takeoff(self) -> Takeoff | None:
        if not self.rotates_forward.believed:
            return None
        forward, travel = bool(self.rotates_forward.value), self.rotates_with_travel
        known = travel is not None and travel.believed
        along = known and bool(travel.value)  # type: ignore[union-attr]
        if self.from_hands:
            if forward:
                return "armstand_forward"
            return ("armstand_back" if along else "armstand_reverse") if known else None
        if forward:
            return ("forward" if along else "inward") if known else "forward_or_inward"
        return ("back" if along else "reverse") if known else "back_or_reverse"
