"""Bodies in flight whose motion is known by hand, as a camera beside the board sees them."""

from __future__ import annotations

import numpy as np

FPS, SCALE, CENTER = 25.0, 100.0, 400.0
# Shares of the body's mass near shoulders, elbows, wrists, hips, knees, ankles and in the head.
MASSES = np.array([0.04, *[0.0] * 4, *np.repeat([0.15, 0.025, 0.012, 0.17, 0.08, 0.03], 2)])


def about_its_center(points):
    """Move points so that the centre of mass lies at the origin: bodies in flight turn about it."""
    return points - (MASSES[:, None] * points).sum(axis=0) / MASSES.sum()


def body(front=1.0, hip=0.0, knee=0.0):
    """Return an upright body (17, 2) in torso lengths about its hips, front to the right if 1.

    Left and right lie behind each other, as a camera beside the board sees them.
    """
    points = np.zeros((17, 2))
    points[:5] = [[0.15, -1.3], [0.12, -1.35], [0.12, -1.35], [0.0, -1.32], [0.0, -1.32]]
    points[5:7] = [0.0, -1.0]
    points[7:9] = [0.05, -0.5]
    points[9:11] = [0.1, -0.1]
    thigh, shank = np.radians(hip), np.radians(hip - knee)
    points[13:15] = 0.85 * np.array([np.sin(thigh), np.cos(thigh)])
    points[15:17] = points[13:15] + 0.85 * np.array([np.sin(shank), np.cos(shank)])
    return points * [front, 1.0]


def turned(points, degrees):
    """Rotate points clockwise in the image."""
    angle = np.radians(degrees)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def somersault(
    halves, *, sense=1.0, front=1.0, hip=0.0, knee=0.0, drift=60.0, fall=0.0, fps=FPS, slow=1.0
):
    """Return keypoints (T, 17, 2), scores and seconds: standing, a flight of 1.2 s, standing.

    Args:
        halves: Half somersaults.
        sense: 1 rotates clockwise in the image.
        front: 1 faces right.
        hip, knee: Degrees of flexion in flight.
        drift: Pixels per second to the right.
        fall: Bodies land lower than they left by this many times 350 pixels.
        fps: Frames per second.
        slow: How many times slower than real the flight is shown.
    """
    lead, flight, tail = (round(seconds * slow * fps) for seconds in (0.6, 1.2, 0.4))
    frames = []
    for t in range(lead + flight + tail):
        share = np.clip((t - lead) / flight, 0, 1)
        inside = 0 < share < 1
        posed = about_its_center(body(front, *(hip, knee) if inside else (0, 0)))
        time = share * 1.2
        place = [CENTER + drift * time, 300 - 250 * time + (400 + 245 * fall) * time**2]
        frames.append(turned(posed, sense * 180 * halves * share) * SCALE + place)
    count = len(frames)
    return np.array(frames), np.full((count, 17), 0.9), np.arange(count) / fps
