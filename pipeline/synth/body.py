"""Bodies: lengths, masses, and body points in a posture.

Axes of the pelvis: x to the chest, y to the head, z to the right; metres, from the centre of the
hips. The trunk has two parts, so that the spine can flex.
"""

from __future__ import annotations

import numpy as np

from ...pose_extract.layout import COCO_17
from .posture import ANGLES

# Share of the body's mass, distance of the centre of mass from the first end, radius of gyration
# about it (shares of the length), all Winter 2009, Tab. 4.1 (the trunk is divided at its middle),
# and radius as share of the height, set by hand: it adds some 8 % to the inertia of a tuck.
_SEGMENTS = (
    ("hip", "waist", 0.258, 0.5, 0.289, 0.072),
    ("waist", "neck", 0.239, 0.5, 0.289, 0.078),
    ("neck", "head", 0.081, 1.0, 0.0, 0.055),
    *(
        (f"{one}_{side}", f"{two}_{side}", mass, center, gyration, radius)
        for side in "lr"
        for one, two, mass, center, gyration, radius in (
            ("shoulder", "elbow", 0.028, 0.436, 0.322, 0.026),
            ("elbow", "wrist", 0.022, 0.682, 0.468, 0.021),
            ("hip", "knee", 0.1, 0.433, 0.323, 0.043),
            ("knee", "ankle", 0.061, 0.606, 0.416, 0.029),
        )
    ),
)
# Half the skull, from the centre of the head to ear, face and eye.
_POINTS = (
    "hip", "waist", "neck", "head", "face",
    *(f"{joint}_{side}" for side in "lr"
      for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
)  # fmt: skip
_PLACE = {name: i for i, name in enumerate(_POINTS)}
_ONES = np.array([_PLACE[one] for one, *_ in _SEGMENTS])
_TWOS = np.array([_PLACE[two] for _, two, *_ in _SEGMENTS])
# A bent elbow closes towards the front, the top and the middle.
_CLOSING = (1.0, 0.5, 0.5)


def _three_masses() -> np.ndarray:
    """Return masses (S, 3) at the ends and middles of segments, as shares of the body's.

    Three masses on a line have the mass, the centre and the radius of gyration of the segment.
    """
    table = np.array([row[2:5] for row in _SEGMENTS])
    mass, center, gyration = table.T
    second = center**2 + gyration**2
    middle, last = 4 * (center - second), 2 * second - center
    return (mass[:, None] * np.stack([1 - middle - last, middle, last], -1)).astype(np.float32)


def _mass_matrix() -> np.ndarray:
    """Return W (P, P) float32: sum of m r r^T over the body is r^T W r of the body points r."""
    out = np.zeros((len(_POINTS), len(_POINTS)))
    for one, two, masses in zip(_ONES, _TWOS, _three_masses()):
        ends = np.zeros((3, len(_POINTS)))
        ends[0, one] = ends[2, two] = 1
        ends[1] = (ends[0] + ends[2]) / 2
        out += ends.T * masses @ ends
    return out.astype(np.float32)


_MASS_MATRIX = _mass_matrix()
_POINT_MASSES = _MASS_MATRIX.sum(axis=1)
_RADII = np.array([row[5] for row in _SEGMENTS], np.float32)
_SEGMENT_MASSES = np.array([row[2] for row in _SEGMENTS], np.float32)


class Body:
    """Bodies of N athletes: lengths in metres, drawn around shares of the height (Winter 2009).

    Args:
        count: N.
        rng: Random state.

    Attributes:
        height: (N,) float32 metres.
    """

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.height = rng.uniform(1.48, 1.85, count).astype(np.float32)

        def part(share: float) -> np.ndarray:
            varied = share * rng.normal(1, 0.05, count).clip(0.85, 1.15)
            return (varied * self.height).astype(np.float32)[:, None]

        self.trunk, self.neck = part(0.288), part(0.105)
        self.upper_arm, self.forearm = part(0.186), part(0.146)
        self.thigh, self.shank = part(0.245), part(0.246)
        self.shoulder, self.hip = part(0.115), part(0.058)
        self.head = part(0.07)

    def select(self, rows: np.ndarray) -> Body:
        """Return the bodies of ``rows`` (M,) int, which may repeat."""
        out = object.__new__(Body)
        for name, values in vars(self).items():
            setattr(out, name, values[rows])
        return out

    def points(self, postures: np.ndarray) -> np.ndarray:
        """Return the body points (N, T, P, 3) float32 metres in the axes of the pelvis.

        Args:
            postures: (N, T, A) degrees, the angles ``posture.ANGLES``.
        """
        angle = dict(zip(ANGLES, np.moveaxis(np.radians(postures.astype(np.float32)), -1, 0)))
        out = np.zeros((*postures.shape[:2], len(_POINTS), 3), np.float32)

        def put(name: str, value: np.ndarray) -> np.ndarray:
            out[..., _PLACE[name], :] = value
            return value

        for side, sign in (("l", -1.0), ("r", 1.0)):
            out[..., _PLACE[f"hip_{side}"], 2] = sign * self.hip
            hip, spread = angle[f"hip_{side}"], sign * angle[f"spread_{side}"]
            knee = put(f"knee_{side}", out[..., _PLACE[f"hip_{side}"], :]
                       + _limb(hip, spread, self.thigh))  # fmt: skip
            put(f"ankle_{side}", knee + _limb(hip - angle[f"knee_{side}"], spread, self.shank))
        out[..., _PLACE["waist"], 1] = 0.5 * self.trunk
        waist = out[..., _PLACE["waist"], :]
        thorax = _thorax(angle["spine"], angle["side"])
        up = 0.5 * self.trunk[..., None] * thorax[..., :, 1]
        neck = put("neck", waist + up)
        nod = angle["neck"]
        zero = np.zeros_like(nod)
        along = np.stack([np.sin(nod), np.cos(nod), zero], -1)
        facing = np.stack([np.cos(nod), -np.sin(nod), zero], -1)
        head = put("head", neck + self.neck[..., None] * _apply(thorax, along))
        put("face", head + self.head[..., None] * _apply(thorax, facing))
        for side, sign in (("l", -1.0), ("r", 1.0)):
            across = sign * self.shoulder[..., None] * thorax[..., :, 2]
            shoulder = put(f"shoulder_{side}", neck + across)
            upper = _limb(angle[f"lift_{side}"], sign * angle[f"out_{side}"], 1.0)
            lower = _bent(upper, angle[f"elbow_{side}"], sign)
            elbow = shoulder + self.upper_arm[..., None] * _apply(thorax, upper)
            put(f"elbow_{side}", elbow)
            put(f"wrist_{side}", elbow + self.forearm[..., None] * _apply(thorax, lower))
        return out

    def center(self, points: np.ndarray) -> np.ndarray:
        """Return the centre of mass (N, T, 3), metres, of body points (N, T, P, 3)."""
        out: np.ndarray = _POINT_MASSES @ points
        return out

    def inertia(self, points: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the moment of inertia (N, T, 3, 3) and the inner angular momentum (N, T, 3).

        Both are about the centre of mass, in the axes of the pelvis, per kilogram of the body: m^2
        and m^2/s. The inner momentum is that of the limbs' motion relative to the pelvis.

        Args:
            points: (N, T, P, 3) metres.
            rates: (N, T, P, 3) metres per second, how the points move relative to the pelvis.
        """
        arms = points - self.center(points)[..., None, :]
        weighted = np.swapaxes(_MASS_MATRIX @ arms, -1, -2)
        second = weighted @ arms
        total = np.trace(second, axis1=-2, axis2=-1)[..., None, None] * np.eye(3, dtype=np.float32)
        along = points[..., _TWOS, :] - points[..., _ONES, :]
        inertia = total - second + self._thickness(along)
        moves = rates - self.center(rates)[..., None, :]
        outer = weighted @ moves  # sum of m r_i v_j
        inner = [outer[..., i, j] - outer[..., j, i] for i, j in ((1, 2), (2, 0), (0, 1))]
        return inertia, np.stack(inner, -1)

    def _thickness(self, along: np.ndarray) -> np.ndarray:
        """Return what the thickness of segments (cylinders) adds to the inertia (N, T, 3, 3)."""
        along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
        radii = _RADII * self.height[:, None]
        amount = (_SEGMENT_MASSES * radii**2 / 4)[:, None, :, None]
        # m r^2 / 4 across the axis, m r^2 / 2 about it.
        scaled = along * amount
        about: np.ndarray = np.swapaxes(scaled, -1, -2) @ along
        about += amount.sum(axis=2)[..., None] * np.eye(3, dtype=np.float32)
        return about

    def coco(self, points: np.ndarray) -> np.ndarray:
        """Return the 17 joints of COCO, (N, T, 17, 3) float32 metres, from body points."""
        at = {name: points[..., place, :] for name, place in _PLACE.items()}
        forward = at["face"] - at["head"]
        across = at["shoulder_r"] - at["shoulder_l"]
        across = across / np.linalg.norm(across, axis=-1, keepdims=True)
        right = across * np.linalg.norm(forward, axis=-1, keepdims=True)
        up = np.cross(across, forward)
        eye, ear = at["head"] + 0.85 * forward + 0.3 * up, at["head"] + 0.2 * up
        named = {"nose": at["face"]}
        for side, sign in (("left", -1.0), ("right", 1.0)):
            named[f"{side}_eye"] = eye + 0.45 * sign * right
            named[f"{side}_ear"] = ear + sign * right
            for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
                named[f"{side}_{joint}"] = at[f"{joint}_{side[0]}"]
        return np.stack([named[name] for name in COCO_17.keypoint_names], axis=2)


def _limb(lift: np.ndarray, out: np.ndarray, length: np.ndarray | float) -> np.ndarray:
    """Return the vector of a limb (N, T, 3); angles in radians.

    It hangs down at 0; ``lift`` moves it to the front, ``out`` from there sideways.
    """
    near = length * np.cos(out)
    limb = np.empty((*lift.shape, 3), np.float32)
    limb[..., 0] = near * np.sin(lift)
    limb[..., 1] = -near * np.cos(lift)
    limb[..., 2] = length * np.sin(out)
    return limb


def _bent(upper: np.ndarray, elbow: np.ndarray, sign: float) -> np.ndarray:
    """Return unit vectors of forearms (N, T, 3), bent by ``elbow`` radians from the upper arms."""
    closing = np.array([_CLOSING[0], _CLOSING[1], -sign * _CLOSING[2]], np.float32)
    apart = closing - (upper @ closing)[..., None] * upper
    apart = apart / np.sqrt((apart**2).sum(axis=-1, keepdims=True) + 1e-4)
    out: np.ndarray = np.cos(elbow)[..., None] * upper + np.sin(elbow)[..., None] * apart
    return out


def _thorax(spine: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return (N, T, 3, 3) whose last axis has x, y and z of the thorax: flexed, then bent aside."""
    c, s, cs, ss = np.cos(spine), np.sin(spine), np.cos(side), np.sin(side)
    zero = np.zeros_like(c)
    x = np.stack([c, -s, zero], -1)
    y = np.stack([s * cs, c * cs, ss], -1)
    z = np.stack([-s * ss, -c * ss, cs], -1)
    return np.stack([x, y, z], -1)


def _apply(axes: np.ndarray, vector: np.ndarray) -> np.ndarray:
    out: np.ndarray = (axes @ vector[..., None])[..., 0]
    return out
