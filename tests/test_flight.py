"""``benchmarks/flight.py``: its figures on people made by hand, and a few real ones."""

from __future__ import annotations

import importlib
import json
import zipfile

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from skelact.pipeline.pose_training.people import AnnotatedPeople, Corrections
from skelact.pose_extract.layout import COCO_17

SHOULDER, WRIST, HIP, ANKLE = (
    COCO_17.index(f"left_{part}") for part in ("shoulder", "wrist", "hip", "ankle")
)


@pytest.fixture
def people_module(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("flight_people")


@pytest.fixture
def figures(people_module):
    return importlib.import_module("flight_figures")


@pytest.fixture
def sheet(people_module):
    return importlib.import_module("flight_sheet")


@pytest.fixture
def flight(people_module):
    return importlib.import_module("flight")


def standing():
    """Return a person (17, 2): shoulders at y 100, hips at 200, 40 wide, arms and legs straight."""
    points = np.zeros((17, 2))
    for first, y, half in ((5, 100, 20), (7, 140, 40), (9, 180, 50), (11, 200, 20), (13, 260, 20),
                           (15, 320, 20)):  # fmt: skip
        points[first], points[first + 1] = (100 + half, y), (100 - half, y)
    return points


def crowd(*people, visible=None, images=None, unknown=False):
    """Return people, all 12 joints annotated if not said."""
    if visible is None:
        visible = np.zeros((len(people), 17), bool)
        visible[:, 5:] = True
    return AnnotatedPeople(
        images or [b""] * len(people),
        [f"{i}.png" for i in range(len(people))],
        np.arange(len(people)),
        np.stack(people),
        visible,
        np.full(len(people), unknown),
    )


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def poses(module, *keypoints, scores=0.5):
    return module.Poses(np.stack(keypoints), np.full((len(keypoints), 17), scores), len(keypoints))


def rotated(points, degrees):
    """Rotate clockwise as seen about (100, 150), the middle of the torso of :func:`standing`."""
    turn = np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (points - (100, 150)) @ matrix.T + (100, 150)


class TestPeople:
    def test_the_box_is_the_extent_and_an_eighth_or_so_of_the_longer_side(self, people_module):
        people = crowd(standing())
        # 50 to 150 across, 100 to 320 down: 12 % of 220 is 26.4.
        np.testing.assert_allclose(people.bboxes(), [[23.6, 73.6, 176.4, 346.4]], rtol=1e-6)
        np.testing.assert_allclose(people_module.sizes(people), [220])

    def test_joints_that_are_not_annotated_do_not_count_in_the_size(self, people_module):
        visible = np.ones((1, 17), bool)
        visible[:, [*range(5), WRIST, WRIST + 1, ANKLE]] = False
        people = crowd(standing(), visible=visible)
        np.testing.assert_allclose(people_module.sizes(people), [220])
        visible[:, ANKLE + 1] = False
        np.testing.assert_allclose(people_module.sizes(people), [160])

    @pytest.mark.parametrize("degrees", [0, 30, 90, -120, 180])
    def test_tilt_is_the_angle_of_the_torso_to_either_side(self, people_module, degrees):
        people = crowd(rotated(standing(), degrees))
        np.testing.assert_allclose(people_module.tilts(people), [abs(degrees)], atol=1e-4)
        np.testing.assert_allclose(people_module.torsos(people), [100])

    def test_short_torsos_and_hidden_ones_are_not_scored(self, people_module):
        visible = np.ones((5, 17), bool)
        visible[3, HIP] = False
        visible[4, WRIST] = False
        person = standing()
        people = crowd(person, person * 0.15, person * 0.149, person, person, visible=visible)
        assert people_module.scored(people).names == ["0.png", "1.png", "4.png"]


class TestErrors:
    def test_a_joint_is_found_up_to_a_fifth_of_the_torso(self, people_module, figures):
        people = crowd(standing())
        found = standing()
        found[WRIST] += (0, 20)
        found[ANKLE] += (12.1, 16.1)
        errors = figures.Errors.of(people, poses(people_module, found))
        assert errors.torsos[0, WRIST] == pytest.approx(0.2)
        assert errors.torsos[0, ANKLE] > 0.2
        measured = figures.figures_of(errors, None, 0)
        assert measured["all"].share.value == pytest.approx(11 / 12)
        assert measured["wrists"].share.value == 1
        assert measured["ankles"].share.value == 0.5
        assert measured["ankles"].num_joints == 2

    def test_hidden_joints_and_the_face_are_not_scored(self, people_module, figures):
        visible = np.ones((1, 17), bool)
        visible[0, [ANKLE, ANKLE + 1]] = False
        found = standing()
        found[WRIST] += 90
        found[ANKLE] += 90
        people = crowd(standing(), visible=visible)
        errors = figures.Errors.of(people, poses(people_module, found))
        measured = figures.figures_of(errors, None, 0)
        assert (measured["all"].num_joints, measured["all"].share.value) == (10, 0.9)
        assert measured["ankles"].num_joints == 0
        assert np.isnan(measured["ankles"].share.value)

    def test_an_exchange_of_the_whole_body_is_free_and_one_of_the_arms_is_not(
        self, people_module, figures
    ):
        flip = COCO_17.flip_inds()
        arms = standing()
        arms[5:11] = arms[flip[5:11]]
        people = crowd(standing(), standing())
        found = poses(people_module, standing()[flip], arms)
        measured = figures.figures_of(figures.Errors.of(people, found), None, 0)
        # Left and right are 40 to 100 pixels apart, and .2 torsos are 20: no joint is by chance.
        assert measured["all"].share.value == pytest.approx(6 / 24)
        assert measured["all"].free.value == pytest.approx(18 / 24)
        assert measured["wrists"].free.value == 0.5  # the arms stay as they fit: six to six
        assert measured["knees"].free.value == 1

    def test_sides_that_nobody_knows_are_free(self, people_module, figures):
        flip = COCO_17.flip_inds()
        found = poses(people_module, standing()[flip])
        for unknown, share in ((False, 0), (True, 1)):
            errors = figures.Errors.of(crowd(standing(), unknown=unknown), found)
            measured = figures.figures_of(errors, None, 0)["all"]
            assert (measured.share.value, measured.free.value) == (share, 1)

    def test_bounds_of_tilt_are_45_and_135_degrees(self, people_module, figures):
        tilts = (0, 44.9, 45.1, 134.9, 135.1, 180)
        people = crowd(*(rotated(standing(), tilt) for tilt in tilts))
        found = poses(people_module, *people.keypoints)
        groups = figures.Errors.of(people, found).groups()
        assert [np.flatnonzero(groups[name]).tolist() for name in figures.TILTS] == [
            [0, 1],
            [2, 3],
            [4, 5],
        ]

    def test_people_are_grouped_by_size(self, people_module, figures):
        # Longer sides of 220 pixels times the factor.
        sizes = (100, 116, 117, 138, 139, 200)
        people = crowd(*(standing() * size / 220 for size in sizes))
        groups = figures.Errors.of(people, poses(people_module, *people.keypoints)).groups()
        found = {name: np.flatnonzero(rows).tolist() for name, rows in groups.items()}
        assert found["< 117 px"] == [0, 1]
        assert found["117 - 138 px"] == [2, 3]
        assert found["> 138 px"] == [4, 5]
        terciles = [rows for name, rows in found.items() if name.startswith("tercile")]
        assert terciles == [[0, 1], [2, 3], [4, 5]]


class TestShare:
    def test_it_is_over_joints_and_its_interval_over_people(self, figures):
        share = figures.share_of(np.array([12] * 50 + [0] * 50), np.array([12] * 50 + [4] * 50), 0)
        assert share.value == 0.75
        assert share.low < 0.75 < share.high
        # Were joints drawn, the standard error would be 1.5 points; that of 100 people is 3.8:
        # the share is 3n / (3n + 100 - n) for n people of 100, and n is 50 with an error of 5.
        assert 0.055 < 0.75 - share.low < 0.1
        assert figures.share_of(np.array([3] * 9), np.array([12] * 9), 0) == figures.Share(
            0.25, 0.25, 0.25
        )

    def test_the_same_seed_draws_the_same_people(self, figures):
        found, counts = np.arange(20) % 12, np.full(20, 12)
        assert figures.share_of(found, counts, 3) == figures.share_of(found, counts, 3)
        assert figures.share_of(found, counts, 3) != figures.share_of(found, counts, 4)

    def test_gains_are_of_the_same_people(self, people_module, figures):
        """Each person gains one joint: no interval, however much the people differ."""
        people = crowd(*[standing()] * 6)
        first, second = people.keypoints.copy(), people.keypoints.copy()
        for i in range(6):
            second[i, 5 : 5 + i] += 100
            first[i, 5 : 6 + i] += 100
        errors = [
            figures.Errors.of(people, poses(people_module, *some)) for some in (first, second)
        ]
        measured = figures.figures_of(errors[1], errors[0], 0)["all"]
        assert measured.share.low < measured.share.high
        assert measured.gain == figures.Share(*[pytest.approx(1 / 12)] * 3)


class TestReliability:
    def test_each_tenth_of_the_scores_has_its_share_of_found_joints(self, figures):
        errors = np.array([0.1, 0.3, 0.1, 0.1, np.nan, 0.2])
        scores = np.array([0.05, 0.05, 0.92, 1.3, 0.5, 0.55])
        found = figures.reliability_of(errors, scores)
        assert found.counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
        np.testing.assert_allclose(found.found[[0, 5, 9]], [0.5, 1, 1])
        np.testing.assert_allclose(found.scores[[0, 5, 9]], [0.05, 0.55, 0.96])
        # Gaps .45, .45 and .04, of 2, 1 and 2 joints.
        assert found.calibration_error == pytest.approx((0.9 + 0.45 + 0.08) / 5)

    def test_arms_legs_and_tilts_have_their_own(self, people_module, figures):
        people = crowd(standing(), rotated(standing(), 180))
        wrong = people.keypoints.copy()
        wrong[:, 11:] += 100
        found = poses(people_module, *wrong, scores=1.0)
        errors = figures.Errors.of(people, found)
        values = {k: v.calibration_error for k, v in figures.reliabilities_of(errors).items()}
        assert np.isnan(values.pop("sideways"))
        assert values == {"all": 0.5, "arms": 0, "legs": 1, "upright": 0.5, "inverted": 0.5}


class TestLabels:
    def test_parts_of_the_set_do_not_share_people(self, people_module):
        numbers = np.arange(1, 1001)
        parts = {
            name: set(numbers[people_module.choose_numbers(numbers, name)])
            for name in ("dev", "check", "train")
        }
        assert {3, 23, 43} <= parts["dev"]
        assert {4, 9, 14} <= parts["check"]
        assert [len(part) for part in parts.values()] == [50, 200, 750]
        assert set.union(*parts.values()) == set(numbers)
        assert people_module.choose_numbers(numbers, "all").all()

    def test_labels_of_the_chosen_part_are_corrected(self, people_module, tmp_path):
        flip = COCO_17.flip_inds()
        folder = tmp_path / "data" / "lspet"
        folder.mkdir(parents=True)
        numbers = np.array([3, 4, 5, 23, 43, 44])
        keypoints = np.stack([standing()] * 6)
        keypoints[3] = standing()[flip]
        np.savez(
            folder / "lspet_train.npz",
            keypoints=keypoints, visible=np.ones((6, 17), bool), numbers=numbers,
        )  # fmt: skip
        with zipfile.ZipFile(folder / "lspet_train.zip", "w") as archive:
            for number in numbers:
                archive.writestr(f"im{number:05d}.jpg", bytes([number]))
        corrections = Corrections(exchanged=(23,), sides_unknown=(3,), unusable=(43,))
        people = people_module.load_lspet(tmp_path, "dev", corrections)
        assert people.images == [bytes([3]), bytes([23])]
        np.testing.assert_array_equal(people.keypoints, [standing()] * 2)
        assert people.sides_unknown.tolist() == [True, False]
        published = people_module.load_lspet(tmp_path, "dev", Corrections())
        np.testing.assert_array_equal(published.keypoints[1], standing()[flip])
        assert published.numbers.tolist() == [3, 23, 43]


class FixedPose:
    """Stands for a ``PoseEstimator`` whose crops all show a person at the same place."""

    layout = COCO_17

    def crop(self, frame, bboxes):
        crops = importlib.import_module("skelact.pose_extract.pose.crops").Crops
        rest = np.zeros((len(bboxes), 2), np.float32)
        return crops(np.stack([frame] * len(bboxes)), rest, rest, rest[:, 0])

    def predict(self, crops):
        values = crops.images[:, 0, 0, 0].astype(np.float32)
        return np.tile(values[:, None, None], (1, 17, 2)), np.full((len(values), 17), 0.5)


def test_people_keep_their_order_over_batches_and_blocks(people_module, monkeypatch):
    monkeypatch.setattr(people_module, "_BLOCK", 4)
    images = [png(np.full((8, 8, 3), 20 * i, np.uint8)) for i in range(10)]
    people = crowd(*[standing()] * 10, images=images)
    done = []
    found = people_module.estimate(FixedPose(), people, "one-look", 3, done.append)
    assert found.keypoints[:, 0, 0].tolist() == [20 * i for i in range(10)]
    assert (found.num_crops, done) == (10, [4, 8, 10])


class TestSheet:
    def test_the_worst_people_come_first(self, sheet):
        errors = np.array([[0.1, 0.3], [np.nan, 0.9], [0.4, 0.4], [0.5, np.nan]])
        order, means = sheet.worst_first(errors, 3)
        assert order.tolist() == [1, 3, 2]
        np.testing.assert_allclose(means, [0.9, 0.5, 0.4])

    def test_labels_and_poses_lie_side_by_side_left_red_and_right_blue(self, sheet):
        visible = np.zeros((7, 17), bool)
        visible[:, 5:] = True
        visible[:, WRIST] = False
        images = [png(np.zeros((400, 200, 3), np.uint8))] * 7
        people = crowd(*[standing()] * 7, visible=visible, images=images)
        page = sheet.draw_sheet(people, people.keypoints, np.arange(7.0))
        # Two rows of up to six people, each of two tiles of 150 pixels, 6 apart.
        assert page.shape == (306, 6 * 300 + 5 * 6, 3)
        assert page.dtype == np.uint8
        assert (page[200:, 320:] == 255).all()
        # The box is 272.8 high, a tile shows 1.25 of that, around (100, 210).
        scale = 150 / (1.25 * 272.8)

        def at(points, joint, right=0):
            x, y = np.rint(75 + scale * (points[joint] - (100, 210))).astype(int)
            return page[y, x + right].tolist()

        assert at(standing(), ANKLE) == at(standing(), ANKLE, 150) == [230, 40, 40]
        assert at(standing(), ANKLE + 1) == at(standing(), ANKLE + 1, 150) == [40, 90, 250]
        assert at(standing(), WRIST) == [0, 0, 0]  # not annotated
        assert at(standing(), WRIST, 150) == [230, 40, 40]


def test_figures_are_written_as_json_without_nan(flight, figures, tmp_path):
    tables = importlib.import_module("flight_tables")
    rotated = importlib.import_module("flight_rotated").RotatedFigures
    nothing = figures.Share(np.nan, np.nan, np.nan)
    some = figures.Share(1 / 3, 0.25, 0.5)
    column = figures.Column(
        {
            "all": figures.Figure(2, 20, some, some),
            "inverted": figures.Figure(0, 0, nothing, nothing),
        },
        {"all": figures.reliability_of(np.array([0.1]), np.array([0.95]))},
        2.5,
    )
    ground = rotated(3, (0.9,) * 12, (0.8,) + (0.6,) * 11, 2.0)
    values = tables.as_json({"lspet": {"net": column}}, {"coco": {"net": ground}})
    tables.write_json(tmp_path / "figures.json", values)
    read = json.loads((tmp_path / "figures.json").read_text())
    net = read["flight"]["lspet"]["net"]
    assert net["figures"]["all"]["share"] == {"value": 0.33333, "low": 0.25, "high": 0.5}
    assert net["figures"]["inverted"]["share"]["value"] is None
    assert net["reliability"]["all"]["scores"] == [None] * 9 + [0.95]
    assert read["rotated"]["coco"]["net"]["angles"] == list(range(0, 360, 30))
    assert read["rotated"]["coco"]["net"]["oriented"][:2] == [0.8, 0.6]
    # What the table shows of it.
    assert ground.summary() == {
        "upright, one look": 0.9,
        "upright, balanced": 0.8,
        "mean of 12 angles, one look": pytest.approx(0.9),
        "mean of 12 angles, balanced": pytest.approx(7.4 / 12),
        "least of 12 angles, balanced": 0.6,
        "crops per person, balanced": 2.0,
    }


def test_files_are_named_by_their_folder_where_that_tells_them_apart(flight, tmp_path):
    files = [tmp_path / part / "pose.json" for part in ("first", "second", "more/second")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    names = flight.short_names(["net", *map(str, files[:2])])
    assert list(names.values()) == ["net", "first/pose", "second/pose"]
    assert list(flight.short_names(list(map(str, files))).values()) == list(map(str, files))


@pytest.mark.slow
def test_real_people_are_measured(flight, shared, tmp_path):
    out = tmp_path / "figures.json"
    command = ["people", str(shared), "--limit", "3", "--pose", "litehrnet18-coco-256x192",
               "--set", "lspet", "--set", "divers", "--set", "coco", "--effort", "one-look",
               "--effort", "balanced", "--json", str(out)]  # fmt: skip
    result = CliRunner().invoke(flight.main, command)
    assert result.exit_code == 0, result.output
    read = json.loads(out.read_text())
    assert list(read["flight"]) == ["lspet", "divers"]
    for columns in read["flight"].values():
        one_look, balanced = columns.values()
        assert one_look["crops_per_person"] == 1 <= balanced["crops_per_person"] <= 5
        assert one_look["figures"]["all"]["num_people"] == 3
        assert one_look["figures"]["all"]["gain"] is None
        share = balanced["figures"]["all"]["share"]
        # Points anywhere in the boxes would be found once in 50: those are 2 to 3 torsos long.
        assert 0.15 < share["value"] <= 1
        assert share["low"] <= share["value"] <= share["high"]
    (ground,) = read["rotated"]["coco"].values()
    assert ground["num_people"] == 3
    # docs/design.md has .89 upright and .30 at 180 degrees, of all twelve people.
    assert ground["one_look"][0] > 0.8 > 0.6 > ground["one_look"][6]
    assert "crops per person" in result.output


def test_a_sheet_of_real_people_is_drawn(flight, shared, tmp_path):
    out = tmp_path / "sheet.png"
    command = ["sheet", str(shared), "--limit", "4", "--count", "2", "--effort", "one-look",
               "--out", str(out)]  # fmt: skip
    result = CliRunner().invoke(flight.main, command)
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(out)).shape == (150, 606, 3)
    assert "the worst 2 of 4 people" in result.output
    result = CliRunner().invoke(flight.main, [*command, "--bare"])
    assert result.exit_code == 0, result.output
    bare = cv2.imread(str(out))
    assert (bare == 40).all(axis=2).mean() > 0.5  # the background, and no image


def test_a_wrong_name_is_an_error_before_anything_is_measured(flight, shared):
    command = ["people", str(shared), "--set", "divers", "--pose", "litehrnet18-coco-256x192",
               "--pose", "litehrnet19"]  # fmt: skip
    result = CliRunner().invoke(flight.main, command)
    assert result.exit_code == 1
    assert "litehrnet19" in result.output


def test_the_last_check_is_never_drawn(flight, shared, tmp_path):
    command = ["sheet", str(shared), "--numbers", "check", "--out", str(tmp_path / "a.png")]
    assert CliRunner().invoke(flight.main, command).exit_code == 2


def test_blurs_and_reaches_are_measured_on_real_people(flight, shared):
    heatmaps = importlib.import_module("heatmaps")
    result = CliRunner().invoke(heatmaps.main, [str(shared), "--limit", "6"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len(lines) == len(heatmaps.BLURS) + len(heatmaps.REACHES)
    assert "blur 0.75 sigma: joints found: upright 0." in result.output
