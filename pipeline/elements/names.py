"""Dive numbers of World Aquatics, class names of Diving48 and words for an element's factors.

Dive numbers: group 1 forward, 2 back, 3 reverse, 4 inward, each with 0 or 1 (flying) and the half
somersaults (205B, 1011B); group 5 twists, with one of those groups, the half somersaults and the
half twists (5253B); group 6 armstands, with 1 forward, 2 back, 3 reverse, the half somersaults and,
if any, the half twists (626C, 6243D). The letter is the position: A straight, B pike, C tuck, D
free.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from ... import SkelactError

Takeoff = Literal[
    "forward", "back", "reverse", "inward",
    "armstand_forward", "armstand_back", "armstand_reverse",
    "forward_or_inward", "back_or_reverse", "sideways",
]  # fmt: skip
Position = Literal["straight", "pike", "tuck", "free"]

_GROUPS: dict[str, Takeoff] = {"1": "forward", "2": "back", "3": "reverse", "4": "inward"}
_ARMSTANDS: dict[str, Takeoff] = {
    "1": "armstand_forward",
    "2": "armstand_back",
    "3": "armstand_reverse",
}
_LETTERS: dict[str, Position] = {"A": "straight", "B": "pike", "C": "tuck", "D": "free"}
# Diving48 has no armstands.
_DIVING48_TAKEOFFS: dict[str, Takeoff] = {
    "Forward": "forward", "Back": "back", "Reverse": "reverse", "Inward": "inward"
}  # fmt: skip
_DIVING48_POSITIONS: dict[str, Position] = {
    "STR": "straight", "PIKE": "pike", "TUCK": "tuck", "FREE": "free"
}  # fmt: skip
_DIGIT_OF = {takeoff: digit for digit, takeoff in (*_GROUPS.items(), *_ARMSTANDS.items())}
_LETTER_OF = {position: letter for letter, position in _LETTERS.items()}
_DIVING48_TAKEOFF_OF = {takeoff: name for name, takeoff in _DIVING48_TAKEOFFS.items()}
_DIVING48_POSITION_OF = {position: name for name, position in _DIVING48_POSITIONS.items()}
# A leading group 1 to 4, with five and a half somersaults at most; 5 with its group; 6.
_PLAIN = re.compile(
    r"(?P<group>[1-4])[01](?P<somersaults>1[01]|\d)(?P<twists>)(?P<letter>[A-D])", re.A
)
_TWISTING = re.compile(
    r"5(?P<group>[1-4])(?P<somersaults>\d)(?P<twists>[1-9])(?P<letter>[A-D])", re.A
)
_ARMSTAND = re.compile(
    r"6(?P<group>[1-3])(?P<somersaults>\d)(?P<twists>[1-9]?)(?P<letter>[A-D])", re.A
)


class DiveFactors(NamedTuple):
    """What a dive's name says."""

    takeoff: Takeoff
    half_somersaults: int
    half_twists: int
    position: Position


def read_dive_number(text: str) -> DiveFactors:
    """Read a dive number such as 205B, 5253B or 626C; a flying dive (113B) is one without.

    Raises:
        SkelactError: for anything else.
    """
    for form, takeoffs in ((_PLAIN, _GROUPS), (_TWISTING, _GROUPS), (_ARMSTAND, _ARMSTANDS)):
        found = form.fullmatch(text)
        if found:
            return DiveFactors(
                takeoffs[found["group"]],
                int(found["somersaults"]),
                int(found["twists"] or 0),
                _LETTERS[found["letter"]],
            )
    raise SkelactError(
        f"dive number {text!r}: expected a group, half somersaults, half twists and a position, "
        "such as 205B (back 2 1/2, pike), 5253B (with 1 1/2 twists) or 626C (armstand)"
    )


def dive_number(
    takeoff: Takeoff, half_somersaults: int, half_twists: int, position: Position
) -> str | None:
    """Return the dive number, or None where the rules have none."""
    digit = _DIGIT_OF.get(takeoff)
    if digit is None:
        return None
    letter = _LETTER_OF[position]
    if takeoff.startswith("armstand"):
        text = f"6{digit}{half_somersaults}{half_twists or ''}{letter}"
    elif half_twists:
        text = f"5{digit}{half_somersaults}{half_twists}{letter}"
    else:
        text = f"{digit}0{half_somersaults}{letter}"
    factors = DiveFactors(takeoff, half_somersaults, half_twists, position)
    # Counts of two digits have a number in groups 1 to 4 alone.
    try:
        return text if read_dive_number(text) == factors else None
    except SkelactError:
        return None


def read_diving48(name: str) -> DiveFactors:
    """Read a name as Diving48 writes it, such as "Back 15som 05Twis FREE".

    Raises:
        SkelactError: if the name is not of that form.
    """
    form = r"(\w+) (?:(\d+)som|Dive) (?:(\d+)Twis|NoTwis) (\w+)"
    found = re.fullmatch(form, name, re.A)
    if (
        not found
        or found[1] not in _DIVING48_TAKEOFFS
        or found[4] not in _DIVING48_POSITIONS
        or any(number and not re.fullmatch(r"\d|\d5", number, re.A) for number in found.group(2, 3))
    ):
        raise SkelactError(
            f"dive {name!r}: expected {', '.join(_DIVING48_TAKEOFFS)}, somersaults, twists and "
            f"{', '.join(_DIVING48_POSITIONS)}, such as 'Forward 25som 1Twis PIKE' or "
            "'Inward Dive NoTwis PIKE'"
        )
    takeoff, somersaults, twists, position = found.groups()
    return DiveFactors(
        _DIVING48_TAKEOFFS[takeoff],
        _halves(somersaults) if somersaults else 1,
        _halves(twists) if twists else 0,
        _DIVING48_POSITIONS[position],
    )


def diving48_name(
    takeoff: Takeoff, half_somersaults: int, half_twists: int, position: Position
) -> str | None:
    """Return the name as Diving48 would write it, or None for a take-off that it does not have."""
    if takeoff not in _DIVING48_TAKEOFF_OF:
        return None
    somersaults = "Dive" if half_somersaults == 1 else f"{_digits(half_somersaults)}som"
    twists = f"{_digits(half_twists)}Twis" if half_twists else "NoTwis"
    group = _DIVING48_TAKEOFF_OF[takeoff]
    return f"{group} {somersaults} {twists} {_DIVING48_POSITION_OF[position]}"


def _halves(digits: str) -> int:
    """Return halves: "15" is one and a half, "05" a half, "2" two."""
    return 2 * int(digits[0]) + (len(digits) == 2)


def _digits(halves: int) -> str:
    return f"{halves // 2}{'5' if halves % 2 else ''}"


def in_halves(halves: int) -> str:
    """Return a number of halves in words of the sport: "2 1/2", "1/2", "3"."""
    whole, half = divmod(halves, 2)
    return f"{whole} 1/2" if whole and half else "1/2" if half else str(whole)
