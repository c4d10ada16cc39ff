"""Scripts of gymnastics: saltos, flic-flacs, handstands, giants, cartwheels, rolls, walkovers."""

from __future__ import annotations

import numpy as np

from ... import SkelactError
from ..elements.element import Element
from .dive_scripts import GRAVITY
from .flight_keys import twists_from_contact
from .posture import POSTURES, changed
from .script import FLIGHT, LANDING, OTHER, ElementSpan, Scene, SceneKind, Script

# Heights in metres of the apparatus of competitions, from the floor: beam, high bars of women and
# men, tables of women and men.
_HEIGHTS: dict[SceneKind, tuple[float, ...]] = {
    "floor": (0.0,), "beam": (1.25,), "bar": (2.5, 2.8), "vault": (1.25, 1.35)
}  # fmt: skip
_SIDE = 90.0


def gymnastics_script(
    element: Element, rng: np.random.Generator, kind: SceneKind | None = None
) -> Script:
    """Draw the script of an element, with what comes before and after it.

    Args:
        element: Of any kind but "dive"; "other" is a leap, and sideways a round-off. Of a salto all
            factors are known; its half somersaults are those of the flight: even from feet to feet,
            and odd from the hands of a vault to the feet, one more than the rules' name says.
        rng: Random state.
        kind: Where it is done; drawn from where it is seen without it.

    Raises:
        SkelactError: for a salto that cannot end on the feet.
    """
    if kind is None:
        kind = _draw_place(element, rng)
    if element.kind == "salto":
        _check_place(element, kind)
    script = Script(Scene(kind, float(rng.choice(_HEIGHTS[kind]))), rng)
    if element.kind == "salto":
        _salto(script, element, rng)
    elif element.kind == "giant":
        script.begin("handstand", 180.0)
        script.hold(rng.uniform(0.2, 0.6), [(1.0, "handstand")], contact="bar")
        for _ in range(int(rng.integers(1, 3))):
            _giant(script, element)
        script.hold(rng.uniform(0.2, 0.6), [(1.0, "handstand")], contact="bar")
    else:
        script.begin("stand")
        script.hold(rng.uniform(0.3, 1.2), [(0.5, "stand"), (1.0, "reach")], phase=OTHER)
        _FLOOR_SKILLS[element.kind](script, element, rng)
        _stand_up(script, rng)
    return script


def _draw_place(element: Element, rng: np.random.Generator) -> SceneKind:
    if element.kind == "giant":
        return "bar"
    if element.kind != "salto":
        return "beam" if rng.random() < 0.25 and element.kind != "roll" else "floor"
    halves, twists = element.half_somersaults or 0, element.half_twists or 0
    if halves % 2:
        return "vault"
    if element.takeoff == "sideways":
        return "floor" if rng.random() < 0.6 else "beam"
    weights = (0.6, 0.28, 0.12) if twists <= 2 else (0.75, 0.18, 0.07)
    if halves >= 4:
        weights = (0.5, 0.15, 0.35)
    places: tuple[SceneKind, ...] = ("floor", "beam", "bar")
    return places[rng.choice(3, p=weights)]


def _check_place(salto: Element, kind: SceneKind) -> None:
    """Raise SkelactError where a salto does not end on the feet."""
    odd = bool((salto.half_somersaults or 0) % 2)
    if odd != (kind == "vault"):
        wanted = "odd" if kind == "vault" else "even"
        raise SkelactError(
            f"{salto.words} from {kind}: expected {wanted} half somersaults, so that it ends on the"
            f" feet, got {salto.half_somersaults}"
        )


def _salto(script: Script, salto: Element, rng: np.random.Generator) -> None:
    halves, twists = salto.half_somersaults or 0, salto.half_twists or 0
    kind = script.scene.kind
    # Seconds in the air: single saltos from .6 with .05 more for each half twist, doubles about 1.
    seconds = (0.62 if halves <= 2 else 0.95 + 0.12 * (halves - 4)) + 0.055 * twists
    seconds *= rng.uniform(0.97, 1.1)
    facing = 180.0 if salto.takeoff == "back" else 0.0
    surface = 0.0
    turn = 180.0 * twists * float(rng.choice([-1.0, 1.0]))
    begun = 0.0
    if kind == "bar":
        script.begin("handstand", 180.0, facing)
        script.hold(rng.uniform(0.1, 0.5), [(1.0, "handstand")], contact="bar")
        _swing_off(script)
        seconds = max(seconds, rng.uniform(0.85, 1.0))
        total = 360.0 * np.ceil((script.pitch + 180.0 * halves - 90) / 360.0) - script.pitch
    elif kind == "vault":
        seconds = max(seconds, rng.uniform(0.82, 0.98))
        script.begin("handstand_arch", 150.0, facing)
        script.hold(0.16, [(0.8, "handstand")], pitch=40.0)
        total = 180.0 * (halves + 1) - script.pitch
    else:
        # Bodies lean into the salto before the feet leave, and come down bent.
        lean = rng.uniform(8, 22)
        beam_dismount = kind == "beam" and (halves >= 4 or twists >= 3 or rng.random() < 0.4)
        surface = script.scene.height if kind == "beam" and not beam_dismount else 0.0
        if twists_from_contact(salto):
            begun = float(np.sign(turn)) * rng.uniform(10, 25)
        side = _SIDE if salto.takeoff == "sideways" else 0.0
        _run_up(script, facing, side, lean, begun, rng)
        total = 180.0 * halves - lean
    land = changed(POSTURES["land"], hip=45.0, knee=50.0)
    start = script.time
    script.anchor = len(script.spans) - 1
    script.fly(
        salto,
        float(seconds),
        pitch=float(total - rng.uniform(6, 28)),
        twist=turn - begun,
        end=land,
        surface=surface,
        speed=float(rng.uniform(0.8, 2.2)),
    )
    script.elements.append(ElementSpan(salto, start, script.time))
    _land(script, surface, rng)


def _run_up(
    script: Script,
    facing: float,
    side: float,
    lean: float,
    twist: float,
    rng: np.random.Generator,
) -> None:
    """Stand, run or do a flic-flac, and jump off with straight arms."""
    script.begin("stand", twist=facing + side)
    script.hold(rng.uniform(0.2, 0.9), [(1.0, "stand")], phase=OTHER)
    if facing == 180.0 and script.scene.kind == "floor" and rng.random() < 0.6:
        _flic_flac(script, Element("flic_flac", "back"), rng)
    elif facing == 0.0 and not side and rng.random() < 0.6:
        script.walk(int(rng.integers(2, 5)), rng.uniform(0.26, 0.36), 34)
        script.hold(0.2, [(0.8, "reach")], contact="air", speed=2.5)
    else:
        script.hold(rng.uniform(0.3, 0.5), [(0.5, "reach"), (1.0, "swing_back")])
    script.hold(rng.uniform(0.16, 0.24), [(0.4, "dip_arms_up")], pitch=lean, twist=twist,
                rotate=(0.4, 1.0))  # fmt: skip


def _giant(script: Script, giant: Element) -> None:
    """One circle about the bar: faster below it, as a pendulum of the body's length."""
    start = script.time
    _circle(
        script,
        360.0,
        [(0.2, "handstand"), (0.42, "tap_arch"), (0.56, "hollow"), (0.9, "handstand")],
        1.0 if giant.takeoff != "back" else -1.0,
    )
    script.elements.append(ElementSpan(giant, start, script.time))


def _circle(script: Script, degrees: float, moves: list[tuple[float, str]], sign: float) -> None:
    """Rotate about the bar by the pendulum's speed, from the handstand."""
    angle = np.radians(np.linspace(0, degrees, 25))
    # w^2 = w0^2 + 2 g r m / I (1 - cos a); a rod of 2.2 m about its end has r m / I = 3 / (2 *
    # 2.2).
    speed = np.sqrt(1.4**2 + 2 * GRAVITY * 3 / 4.4 * (1 - np.cos(angle)) * 0.85)
    slowness = (1 / speed[1:] + 1 / speed[:-1]) / 2
    times = np.concatenate([[0], np.cumsum(slowness * np.diff(angle))])
    begin, pitch = script.time, script.pitch
    script.hold(float(times[-1]), moves, contact="bar", pitch=sign * degrees)
    inside = [i for i, (when, _) in enumerate(script.pitches) if begin < when]
    del script.pitches[inside[0] :]
    script.pitches += [
        (begin + t, pitch + sign * np.degrees(a)) for t, a in zip(times[1:], angle[1:])
    ]


def _swing_off(script: Script) -> None:
    """Swing from the handstand to the release, 50 degrees past the hang."""
    _circle(script, 230.0, [(0.3, "handstand"), (0.55, "tap_arch"), (0.8, "hollow")], 1.0)


def _flic_flac_skill(script: Script, element: Element, rng: np.random.Generator) -> None:
    # On the beam flic-flacs mostly step out, on the floor those that begin a series do not.
    _flic_flac(script, element, rng, steps_out=rng.random() < 0.4)


def _flic_flac(
    script: Script, element: Element, rng: np.random.Generator, *, steps_out: bool = False
) -> None:
    """Jump to the hands and from the hands to the feet, both together or one after the other."""
    way = 1.0
    start = script.time
    if script.twist == 0.0 and element.takeoff == "back":
        way = -1.0
    script.hold(0.22, [(0.5, "dip"), (1.0, changed(POSTURES["dip"], hip=70.0))], pitch=way * 22.0)
    script.hold(
        rng.uniform(0.16, 0.22),
        [(0.7, "arch")],
        contact="air",
        phase=FLIGHT,
        pitch=way * 118.0,
        speed=way * 2.2,
    )
    opened, landing = POSTURES["handstand"], changed(POSTURES["hollow"], hip=45.0)
    if steps_out:
        opened = changed(POSTURES["split"], lift=178.0)
        landing = changed(opened, hip_l=95.0, hip_r=-20.0)
    script.hold(rng.uniform(0.18, 0.26), [(0.5, "handstand_arch"), (0.9, opened)], pitch=way * 70.0)
    script.hold(
        rng.uniform(0.14, 0.2),
        [(0.6, landing)],
        contact="air",
        phase=FLIGHT,
        pitch=way * 135.0,
        speed=way * 1.8,
    )
    script.elements.append(ElementSpan(element, start, script.time))
    script.hold(0.12, [(1.0, "dip_arms_up")], pitch=way * 15.0)


def _handstand(script: Script, element: Element, rng: np.random.Generator) -> None:
    script.hold(0.5, [(1.0, "lunge")])
    start = script.time
    lever = changed(POSTURES["split"], lift=178.0)
    script.hold(
        rng.uniform(0.6, 0.9), [(0.3, "lunge"), (0.65, lever), (1.0, "handstand")], pitch=180.0
    )
    script.hold(rng.uniform(0.8, 2.5), [(1.0, "handstand")])
    turn = 90.0 * (element.half_twists or 0) * 2
    if turn:
        script.hold(1.2, [(1.0, "handstand")], twist=turn)
    script.elements.append(ElementSpan(element, start, script.time))
    script.hold(rng.uniform(0.6, 0.9), [(0.4, lever), (1.0, "lunge")], pitch=-180.0)


def _cartwheel(script: Script, element: Element, rng: np.random.Generator) -> None:
    """Rotate about the chest's axis: the body is turned aside by a quarter, then pitches over."""
    script.hold(0.4, [(1.0, "lunge")])
    start = script.time
    wheel = changed(POSTURES["straddle"], lift=176.0, out=22.0)
    side = rng.choice([-1.0, 1.0])
    # Fastest at some 300 degrees per second, as a motion capture is (benchmarks/simulator.py).
    seconds = rng.uniform(1.8, 2.5)
    script.hold(0.3 * seconds, [(0.5, "lunge"), (1.0, wheel)], pitch=70.0, twist=side * 90.0)
    script.hold(0.45 * seconds, [(1.0, wheel)], pitch=220.0)
    script.hold(0.25 * seconds, [(0.6, changed(wheel, spread=25.0)), (1.0, "stand")], pitch=70.0)
    script.elements.append(ElementSpan(element, start, script.time))


def _round_off(script: Script, element: Element, rng: np.random.Generator) -> None:
    """Begin as a cartwheel, and turn by another quarter on the hands, so as to land backwards."""
    script.hold(0.4, [(1.0, "lunge")])
    start = script.time
    wheel = changed(POSTURES["straddle"], lift=176.0, out=22.0)
    side = rng.choice([-1.0, 1.0])
    seconds = rng.uniform(0.8, 1.2)
    script.hold(0.4 * seconds, [(0.5, "lunge"), (1.0, wheel)], pitch=90.0, twist=side * 90.0)
    script.hold(0.35 * seconds, [(1.0, "handstand")], pitch=120.0, twist=side * 90.0)
    landing = changed(POSTURES["hollow"], hip=45.0)
    script.hold(0.25 * seconds, [(0.6, landing)], contact="air", phase=FLIGHT, pitch=135.0,
                speed=1.8)  # fmt: skip
    script.elements.append(ElementSpan(element, start, script.time))
    script.hold(0.12, [(1.0, "dip_arms_up")], pitch=15.0)


def _roll(script: Script, element: Element, rng: np.random.Generator) -> None:
    way = 1.0 if element.takeoff == "forward" else -1.0
    start_shape = "crouch"
    script.hold(0.6, [(1.0, start_shape)])
    start = script.time
    seconds = rng.uniform(0.9, 1.4)
    tight = changed(POSTURES["tuck"], lift=100.0, elbow=60.0)
    script.hold(seconds, [(0.25, changed(tight, lift=150.0)), (0.5, "tuck"), (0.95, start_shape)],
                pitch=way * 360.0)  # fmt: skip
    script.elements.append(ElementSpan(element, start, script.time))


def _walkover(script: Script, element: Element, rng: np.random.Generator) -> None:
    way = 1.0 if element.takeoff == "forward" else -1.0
    script.hold(0.5, [(1.0, "reach")])
    start = script.time
    seconds = rng.uniform(1.4, 2.0)
    split = changed(POSTURES["split"], lift=180.0, spine=-25.0 if way < 0 else -15.0)
    script.hold(
        seconds,
        [(0.25, "lunge" if way > 0 else "arch"), (0.5, split), (0.75, split), (1.0, "reach")],
        pitch=way * 360.0,
    )
    script.elements.append(ElementSpan(element, start, script.time))


def _other(script: Script, element: Element, rng: np.random.Generator) -> None:
    """A leap: one leg ahead, one behind, no rotation; sideways a round-off."""
    if element.takeoff == "sideways":
        _round_off(script, element, rng)
        return
    script.walk(2, 0.35, 30)
    script.hold(0.2, [(1.0, "swing_back")])
    start = script.time
    leap = changed(POSTURES["split"], lift=0.0, out=85.0)
    script.hold(
        rng.uniform(0.45, 0.6),
        [(0.5, leap), (1.0, "lunge")],
        contact="air",
        phase=FLIGHT,
        speed=2.5,
    )
    script.elements.append(ElementSpan(element, start, script.time))


def _land(script: Script, surface: float, rng: np.random.Generator) -> None:
    rest = 360.0 * np.round(script.pitch / 360.0) - script.pitch
    script.hold(
        rng.uniform(0.22, 0.35), [(0.8, "land")], phase=LANDING, pitch=float(rest), surface=surface
    )
    script.hold(
        rng.uniform(0.6, 1.6), [(0.6, "reach"), (1.0, "stand")], phase=OTHER, surface=surface
    )


def _stand_up(script: Script, rng: np.random.Generator) -> None:
    script.hold(rng.uniform(0.5, 1.2), [(0.6, "reach"), (1.0, "stand")], phase=OTHER)


_FLOOR_SKILLS = {
    "flic_flac": _flic_flac_skill, "handstand": _handstand, "cartwheel": _cartwheel, "roll": _roll,
    "walkover": _walkover, "other": _other,
}  # fmt: skip
