"""Postures in the air: what the rules ask, and the arms that make and stop twists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..elements.element import Element
from .posture import ANGLES, POSTURES, changed, personal

# What an asymmetry of 1 does to arms that are spread: one is raised, the other lowered, and the
# spine bends to the lowered one. Degrees; the limits of the joints.
_ARMS, _SPINE = 86.0, 22.0
# Seconds that arms need from spread to asymmetric or back, to be wrapped, and to exchange their
# places: some 600 degrees per second, set by hand.
_ARMS_ONLY = np.array([name.startswith("out") for name in ANGLES], float)
_TILT_SECONDS, _WRAP_SECONDS, _SWITCH_SECONDS = 0.14, 0.1, 0.22
# Seconds that asymmetric arms need beside the chest to become symmetric, and for the last posture.
_UNWIND_SECONDS, _RETURN_SECONDS = 0.17, 0.12
# Seconds from the take-off to a closed position, and from it to an open one.
_CLOSE_SECONDS, _OPEN_SECONDS = (0.2, 0.28), (0.14, 0.2)


@dataclass(frozen=True, eq=False)
class FlightKeys:
    """Postures of one flight.

    Attributes:
        times: Seconds since the take-off, ascending; K of them.
        keys: (K, A) degrees, without asymmetry.
        asymmetry: (2, K, A) degrees, what asymmetries of 1 add: the one that begins a twist, and
            the one that ends it.
        tilt_times: See :class:`flight.FlightPlan`.
        contact: See :class:`flight.FlightPlan`.
    """

    times: list[float]
    keys: np.ndarray
    asymmetry: np.ndarray
    tilt_times: tuple[float, float, float, float, float]
    contact: bool


class _Keys:
    def __init__(self, scale: np.ndarray) -> None:
        self.scale = scale
        self.rows: list[tuple[float, np.ndarray, np.ndarray]] = []
        self.tilt_times = (9.0, 9.1, 9.2, 9.3, 9.4)
        self.contact = False

    def add(
        self,
        time: float,
        key: np.ndarray,
        asymmetry: np.ndarray | None = None,
        gap: float = 0.02,
        ends: bool = False,
    ) -> None:
        """Add a posture; times that would run back are put ``gap`` after the one before."""
        if self.rows:
            time = max(time, self.rows[-1][0] + gap)
        both = np.zeros((2, len(ANGLES)))
        if asymmetry is not None:
            both[int(ends)] = asymmetry
        self.rows.append((time, personal(key, self.scale), both))

    def finish(self) -> FlightKeys:
        times, *arrays = zip(*self.rows)
        keys, asymmetry = (np.stack(array) for array in arrays)
        return FlightKeys(
            list(times), keys, np.moveaxis(asymmetry, 1, 0), self.tilt_times, self.contact
        )


def flight_keys(
    element: Element,
    seconds: float,
    twist_sign: float,
    end: np.ndarray,
    scale: np.ndarray,
    rng: np.random.Generator,
) -> FlightKeys:
    """Draw the postures of a flight.

    Args:
        element: A dive or salto, all factors known.
        seconds: From take-off to landing.
        twist_sign: 1 twists to the left, -1 to the right.
        end: (A,) degrees, posture of the entry or landing.
        scale: (A,) how the athlete's angles differ from others'.
        rng: Random state.
    """
    keys = _Keys(scale)
    if twists_from_contact(element):
        _contact_keys(keys, seconds, end, rng)
    elif element.half_twists:
        _twisting_keys(keys, element, seconds, twist_sign, end, rng)
    else:
        _plain_keys(keys, element, seconds, end, rng)
    return keys.finish()


def twists_from_contact(element: Element) -> bool:
    """Return whether the twist begins with a push of the feet, as in most stretched saltos.

    One and a half twists and more in one somersault need more tilt than arms can give. The body's
    length moves on a cone about the momentum then, and is upright after whole somersaults alone.
    """
    twists, halves = element.half_twists or 0, element.half_somersaults or 0
    if element.kind != "salto" or element.position != "straight":
        return False
    if halves % 2:
        return False
    return twists >= 3 or (twists > 0 and halves >= 4)


def _contact_keys(keys: _Keys, seconds: float, end: np.ndarray, rng: np.random.Generator) -> None:
    """Wrap the arms, and open them again to slow the twist for the landing."""
    wrapped = changed(POSTURES["straight"], out=15.0, lift=30.0, elbow=float(rng.uniform(95, 120)))
    keys.add(0.0, changed(POSTURES["y"], spine=-4.0))
    keys.add(min(rng.uniform(0.12, 0.18), 0.25 * seconds), wrapped)
    keys.add(seconds - rng.uniform(0.16, 0.22), wrapped)
    keys.add(seconds - 0.06, changed(POSTURES["straight"], out=70.0))
    keys.add(seconds, end)
    keys.contact = True


def closed_posture(element: Element, rng: np.random.Generator) -> np.ndarray:
    """Return the posture that the element's position names; "free" is any."""
    position = element.position
    if position == "free":
        position = "pike" if rng.random() < 0.7 else "straight"
    if position == "pike":
        slow = (element.half_somersaults or 0) <= 2
        return POSTURES["open_pike" if rng.random() < (0.5 if slow else 0.15) else "pike"]
    if position == "tuck":
        # One somersault leaves the time for a looser tuck, as motion captures show it.
        loose = rng.uniform(0.2, 0.8) if (element.half_somersaults or 0) <= 2 else 0.0
        return (1 - loose) * POSTURES["tuck"] + loose * POSTURES["open_tuck"]
    return POSTURES["straight" if rng.random() < 0.6 else "straight_up"]


def _plain_keys(
    keys: _Keys, element: Element, seconds: float, end: np.ndarray, rng: np.random.Generator
) -> None:
    halves = element.half_somersaults or 0
    shape = closed_posture(element, rng)
    close = min(rng.uniform(*_CLOSE_SECONDS), 0.36 * seconds)
    opening = min(rng.uniform(*_OPEN_SECONDS), 0.2 * seconds)
    # The slower the dive, the longer it is seen in its posture before it opens.
    opened = seconds * rng.uniform(*((0.62, 0.76) if halves <= 2 else (0.84, 0.92)))
    keys.add(0.0, POSTURES["straight_up" if element.position == "straight" else "reach"])
    if halves <= 1:
        close = max(close, 0.3 * seconds)
    keys.add(close, shape)
    keys.add(max(opened - opening, close + 0.04), shape)
    if element.position != "straight":
        keys.add(max(opened - opening / 3, close + 0.06), POSTURES["bent"])
    keys.add(min(max(opened + opening / 2, close + 0.1), seconds - 0.02), end)
    keys.add(seconds, end)


def _twisting_keys(
    keys: _Keys,
    element: Element,
    seconds: float,
    sign: float,
    end: np.ndarray,
    rng: np.random.Generator,
) -> None:
    halves, twists = element.half_somersaults or 0, element.half_twists or 0
    forward = bool(element.rotates_forward)
    pikes_after = halves >= 4 and element.position in ("pike", "tuck")
    start, stop = _twist_window(seconds, halves, twists, forward, pikes_after, rng)
    shape = POSTURES["tuck" if element.position == "tuck" else "pike"]
    lean = changed(POSTURES["t"], hip=float(rng.uniform(-6, 4)), spine=-3.0)
    arms = _TwistArms(twists, sign if forward else -sign)
    keys.add(0.0, changed(POSTURES["t"], out=90.0 if arms.before else 130.0), arms.prepared)
    if forward and element.position != "straight" and start > 0.2:
        keys.add(0.6 * start, changed(shape, lift=0.0, out=90.0, elbow=0.0), arms.prepared)
    stop = arms.add(keys, start, stop, lean, rng)
    rest = seconds - stop
    if pikes_after and rest > 0.3:
        keys.add(stop + min(0.18, 0.4 * rest), shape)
        keys.add(seconds - max(0.16, 0.35 * rest), shape)
        keys.add(seconds - max(0.09, 0.2 * rest), POSTURES["bent"])
    elif rest > 0.12 and element.position != "straight":
        keys.add(stop + 0.5 * rest, changed(POSTURES["bent"], hip=30.0))
    keys.add(seconds, end)


def _twist_window(
    seconds: float,
    halves: int,
    twists: int,
    forward: bool,
    pikes_after: bool,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return when arms begin to tilt the body and when the tilt is gone, in seconds."""
    start = rng.uniform(0.045, 0.07) * seconds
    if forward and halves > 1:
        # Dives that rotate forward pike first, the less of it the more they have to twist.
        start += max(0.16 - 0.03 * twists, 0.0) * seconds
    last = 0.56 + 0.02 * twists if pikes_after else 0.76 + 0.025 * twists
    if pikes_after and halves >= 6:
        last -= 0.06
    # Below a tilt of some five degrees a body wobbles and does not twist, since its inertia about
    # the front is the largest (Yeadon, part I): fewer twists are done in less time.
    last = min(last, start / seconds + max(0.36, 1.13 * twists / max(halves, 1)))
    stop = seconds * (last + rng.uniform(-0.02, 0.02))
    return start, min(stop, seconds - _RETURN_SECONDS - (_UNWIND_SECONDS if twists > 2 else 0.0))


class _TwistArms:
    """Arms that tilt a body and take the tilt away again.

    Spread arms rotate in the frontal plane, one up and one down, and the body tilts the other way.
    The same motion reversed takes the tilt away after whole twists. After an odd number of half
    twists the body's frontal plane faces the other way, so that the arms first exchange their
    places in front of the body, where no momentum about the sagittal axis is needed, and then go
    back to spread.

    Args:
        twists: Half twists.
        sign: 1 raises the left arm.
    """

    def __init__(self, twists: int, sign: float) -> None:
        self.odd = twists % 2 == 1
        self.many = twists >= 3
        # More than one twist asks for arms that are asymmetric the other way before.
        self.before = min(max(twists - 2, 0) / 3, 1.0)
        self.delta = np.zeros(len(ANGLES))
        for name, change in (("out_l", _ARMS), ("out_r", -_ARMS), ("side", _SPINE)):
            self.delta[ANGLES.index(name)] = sign * change

    @property
    def prepared(self) -> np.ndarray:
        """(A,) degrees, the asymmetry at the take-off."""
        return -self.before * self.delta

    def add(
        self,
        keys: _Keys,
        start: float,
        stop: float,
        spread: np.ndarray,
        rng: np.random.Generator,
    ) -> float:
        """Add the keys of tilt, twist and the end of tilt, from ``start`` to ``stop`` seconds.

        Returns:
            When the arms are symmetric again, in seconds.
        """
        pace = min(1.0, (stop - start) / 0.62)
        tilt, wrap, switch = (pace * t for t in (_TILT_SECONDS, _WRAP_SECONDS, _SWITCH_SECONDS))
        tilt *= 1 + 0.3 * self.before
        wrapped = changed(spread, elbow=rng.uniform(80, 105) if self.many else rng.uniform(25, 60))
        keys.add(start, spread, self.prepared)
        keys.add(start + tilt, spread, self.delta)
        keys.add(start + tilt + wrap, wrapped, self.delta)
        aside = self.delta
        if self.odd:
            middle = (start + stop) / 2
            keys.add(middle - switch / 2, wrapped, self.delta)
            spread = changed(spread, lift_l=-180.0, lift_r=180.0)
            wrapped = changed(wrapped, lift_l=-180.0, lift_r=180.0)
            aside = self.delta * _ARMS_ONLY - self.delta * (1 - _ARMS_ONLY)
            keys.add(middle + switch / 2, wrapped, aside, ends=True)
        keys.add(stop - tilt - wrap, wrapped, aside, ends=True)
        keys.add(stop - tilt, spread, aside, ends=True)
        times = (start, start + tilt, stop - tilt, stop)
        back = -self.before * aside
        keys.add(stop, spread, back, ends=True)
        if self.odd:
            # At lift 180 an arm is where it is at lift 0 with the rest of 180 degrees outward.
            spread = changed(spread, lift=0.0)
            back = back * (1 - 2 * _ARMS_ONLY)
            keys.add(stop, spread, back, gap=0.0, ends=True)
        if self.before:
            # Hands close to the chest move the arms with little momentum.
            bent = changed(spread, elbow=130.0)
            keys.add(stop + 0.07, bent, back, ends=True)
            keys.add(stop + _UNWIND_SECONDS, bent)
            stop += _UNWIND_SECONDS
        keys.tilt_times = (*times, stop)
        return stop
