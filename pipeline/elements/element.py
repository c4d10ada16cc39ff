"""An element: a dive or a gymnastics skill, by the factors that name it.

A dive is a take-off, a number of half somersaults, a number of half twists and a position; a salto
is a direction and the same. What is not known is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from ... import SkelactError
from ..config import load_label_names
from .names import (
    Position,
    Takeoff,
    dive_number,
    diving48_name,
    in_halves,
    read_dive_number,
    read_diving48,
)

__all__ = ["Element", "Kind", "Position", "Takeoff", "diving48_elements"]

Kind = Literal[
    "dive", "salto", "flic_flac", "handstand", "giant", "cartwheel", "roll", "walkover", "other"
]  # fmt: skip

# Take-offs of anything but a dive.
_DIRECTIONS = ("forward", "back", "sideways")
_FORWARD = ("forward", "inward", "armstand_forward", "forward_or_inward")
_FACING_WATER = ("forward", "reverse", "armstand_forward", "armstand_reverse")
# Five and a half somersaults (1011) and four and a half twists have been put on lists of dives.
MAX_HALF_SOMERSAULTS, _MAX_HALF_TWISTS = 11, 9
# Words of the Code of Points of the International Gymnastics Federation (FIG).
_FIG_POSITIONS = {"straight": "stretched", "pike": "piked", "tuck": "tucked", "free": "free"}
_FIG_COUNTS = {2: "", 4: "double ", 6: "triple "}


@dataclass(frozen=True)
class Element:
    """A dive or a gymnastics skill by its factors; None is what is not known.

    Attributes:
        kind: "dive", "salto", "flic_flac", "handstand", "giant", "cartwheel", "roll", "walkover" or
            "other".
        takeoff: How it begins. Of a dive, its group: "forward" and "reverse" face the water,
            "back" and "inward" the board; "forward" and "inward" rotate towards the chest, "back"
            and "reverse" towards the back. "forward_or_inward" and "back_or_reverse" say the sense
            of rotation alone. Armstands start on the hands. Of anything else "forward", "back" or
            "sideways", its direction of rotation.
        half_somersaults: Half somersaults, 0 to 11.
        half_twists: Half twists, 0 to 9.
        position: "straight", "pike", "tuck", or, of dives with twists, "free": any of these.

    Raises:
        SkelactError: for a value that is none of these.
    """

    kind: Kind
    takeoff: Takeoff | None = None
    half_somersaults: int | None = None
    half_twists: int | None = None
    position: Position | None = None

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, get_args(Kind))
        takeoffs = [name for name in get_args(Takeoff) if name != "sideways"]
        if self.takeoff is not None:
            choices = takeoffs if self.kind == "dive" else _DIRECTIONS
            _check_choice(f"takeoff of a {self.kind}", self.takeoff, choices)
        if self.position is not None:
            _check_choice("position", self.position, get_args(Position))
        _check_count("half_somersaults", self.half_somersaults, MAX_HALF_SOMERSAULTS)
        _check_count("half_twists", self.half_twists, _MAX_HALF_TWISTS)

    @classmethod
    def from_dive_number(cls, text: str) -> Element:
        """Return the dive of a number such as "205B", "5253B" or "626C".

        A flying dive (113B) becomes the one without (103B).

        Raises:
            SkelactError: for anything that is not a dive number.
        """
        return cls("dive", *read_dive_number(text))

    @classmethod
    def from_diving48(cls, name: str) -> Element:
        """Return the dive of a name as Diving48 writes it, such as "Back 15som 05Twis FREE".

        Raises:
            SkelactError: if the name is not of that form.
        """
        return cls("dive", *read_diving48(name))

    @property
    def code(self) -> str | None:
        """Dive number, such as "205B"; None where a factor is not known or there is no number."""
        factors = self._dive_factors()
        return dive_number(*factors) if factors else None

    @property
    def diving48_class(self) -> str | None:
        """The class of Diving48, "Back 25som NoTwis PIKE"; None if it is none of the 48."""
        factors = self._dive_factors()
        name = diving48_name(*factors) if factors else None
        return name if name in _diving48_names() else None

    @property
    def words(self) -> str:
        """In words, without what is not known.

        "back, 2 1/2 somersaults, 1 twist, pike"; "backward salto tucked, 1 twist".
        """
        return _dive_words(self) if self.kind == "dive" else _gymnastics_words(self)

    @property
    def rotates_forward(self) -> bool | None:
        """Whether the body rotates towards its chest; None if sideways or not known."""
        if self.takeoff in (None, "sideways"):
            return None
        return self.takeoff in _FORWARD

    @property
    def faces_water(self) -> bool | None:
        """Whether the diver faces the water before the take-off; None if it cannot be said.

        An armstand is named by how the diver would face standing upright: in the handstand itself
        the chest is on the other side.
        """
        if self.kind != "dive" or self.takeoff in (None, "forward_or_inward", "back_or_reverse"):
            return None
        return self.takeoff in _FACING_WATER

    @property
    def enters_head_first(self) -> bool | None:
        """Whether the head comes down before the feet; None if it cannot be said."""
        if self.kind not in ("dive", "salto") or self.half_somersaults is None:
            return None
        if self.kind == "dive" and self.takeoff is None:
            return None
        armstand = (self.takeoff or "").startswith("armstand")
        return (self.half_somersaults + armstand) % 2 == 1

    def _dive_factors(self) -> tuple[Takeoff, int, int, Position] | None:
        """Return the factors of a dive of which all are known."""
        if (
            self.kind != "dive"
            or self.takeoff is None
            or self.half_somersaults is None
            or self.half_twists is None
            or self.position is None
        ):
            return None
        return self.takeoff, self.half_somersaults, self.half_twists, self.position


def diving48_elements() -> tuple[tuple[str, ...], tuple[Element, ...]]:
    """Return the 48 class names of Diving48 and the dives that they name."""
    names = _diving48_names()
    return names, tuple(Element.from_diving48(name) for name in names)


@lru_cache(maxsize=1)
def _diving48_names() -> tuple[str, ...]:
    return load_label_names("diving48")


def _dive_words(dive: Element) -> str:
    parts = [dive.takeoff.replace("_", " ")] if dive.takeoff else ["dive"]
    if dive.half_somersaults is not None:
        parts.append(_counted(dive.half_somersaults, "somersault"))
    if dive.half_twists:
        parts.append(_counted(dive.half_twists, "twist"))
    if dive.position:
        parts.append(dive.position)
    return ", ".join(parts)


def _gymnastics_words(element: Element) -> str:
    direction = {"forward": "forward ", "back": "backward ", "sideways": "sideways "}
    text = direction.get(element.takeoff or "", "")
    if element.kind == "salto":
        halves = element.half_somersaults
        if halves is not None:
            text += _FIG_COUNTS.get(halves, f"{in_halves(halves)} ")
        text += "salto"
        if element.position:
            text += f" {_FIG_POSITIONS[element.position]}"
    elif element.kind == "other":
        text += "element"
    else:
        text += element.kind.replace("_", "-")
    if element.half_twists:
        text += f", {_counted(element.half_twists, 'twist')}"
    return text


def _counted(halves: int, noun: str) -> str:
    return f"{in_halves(halves)} {noun}{'s' if halves == 0 or halves > 2 else ''}"


def _check_choice(name: str, value: object, choices: tuple[str, ...] | list[str]) -> None:
    if value not in choices:
        raise SkelactError(f"element: {name}: expected one of {', '.join(choices)}, got {value!r}")


def _check_count(name: str, value: object, maximum: int) -> None:
    if value is None or (type(value) is int and 0 <= value <= maximum):
        return
    raise SkelactError(f"element: {name}: expected 0 to {maximum} or None, got {value!r}")
