"""What makes a dive, and its name in Diving48 (Li et al., ECCV 2018).

A dive is a take-off group, a number of half somersaults, a number of half twists and a position;
the 48 classes of Diving48 are such tuples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ... import SkelactError
from ..config import load_label_names

TakeOff = Literal["Forward", "Back", "Reverse", "Inward", "Armstand"]
Position = Literal["STR", "PIKE", "TUCK", "FREE"]


@dataclass(frozen=True)
class Dive:
    """A dive as its name describes it.

    Attributes:
        take_off: Take-off group. "Forward" and "Reverse" face the water, "Back" and "Inward" the
            board; "Forward" and "Inward" rotate towards the chest, "Back" and "Reverse" towards the
            back. "Armstand" starts on the hands, back to the water, and rotates towards the back.
        half_somersaults: Half somersaults, 1 to 9; a plain dive has 1.
        half_twists: Half twists, 0 to 9.
        position: "STR" (straight), "PIKE", "TUCK", or "FREE": any of these, in dives with twists.
    """

    take_off: TakeOff
    half_somersaults: int
    half_twists: int
    position: Position

    def __post_init__(self) -> None:
        for name, choices in (("take_off", get_args(TakeOff)), ("position", get_args(Position))):
            if getattr(self, name) not in choices:
                raise SkelactError(
                    f"dive: {name}: expected one of {', '.join(choices)}, "
                    f"got {getattr(self, name)!r}"
                )
        if not 1 <= self.half_somersaults <= 9:
            raise SkelactError(
                f"dive: expected 1 to 9 half somersaults, got {self.half_somersaults}"
            )
        if not 0 <= self.half_twists <= 9:
            raise SkelactError(f"dive: expected 0 to 9 half twists, got {self.half_twists}")

    @classmethod
    def parse(cls, name: str) -> Dive:
        """Read a name as Diving48 writes it, such as "Back 15som 05Twis FREE".

        Raises:
            SkelactError: if the name is not of that form.
        """
        form = r"(\w+) (?:(\d+)som|Dive) (?:(\d+)Twis|NoTwis) (\w+)"
        found = re.fullmatch(form, name)
        if not found:
            raise SkelactError(
                f"dive {name!r}: expected take-off, somersaults, twists and position, such as "
                "'Forward 25som 1Twis PIKE' or 'Inward Dive NoTwis PIKE'"
            )
        take_off, somersaults, twists, position = found.groups()
        # "15" is one and a half, "05" a half, "2" two.
        halves = _halves(somersaults) if somersaults else 1
        return cls(take_off, halves, _halves(twists or "0"), position)  # type: ignore[arg-type]

    @property
    def rotates_forward(self) -> bool:
        """Whether the body rotates towards its chest."""
        return self.take_off in ("Forward", "Inward")

    @property
    def faces_water(self) -> bool:
        """Whether the diver faces the water before the take-off."""
        return self.take_off in ("Forward", "Reverse")

    @property
    def enters_head_first(self) -> bool:
        """Whether the head meets the water before the feet."""
        return (self.half_somersaults + (self.take_off == "Armstand")) % 2 == 1


def _halves(digits: str) -> int:
    return 2 * int(digits[:-1] or 0) + 1 if digits.endswith("5") else 2 * int(digits)


def diving_labels() -> tuple[tuple[str, ...], tuple[Dive, ...]]:
    """Return the 48 class names of Diving48 and the dives that they name."""
    names = load_label_names("diving48")
    return names, tuple(Dive.parse(name) for name in names)
