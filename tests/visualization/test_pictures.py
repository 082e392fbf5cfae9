import numpy as np
import pytest

from dfmamba.skeleton import NYU_14, ONE_HAND, TWO_HANDS
from dfmamba.visualization.colors import FINGER_COLORS, joint_colors
from dfmamba.visualization.contact_sheet import FONT_PX, GAP_PX, make_contact_sheet
from dfmamba.visualization.loss_curves import History, _running_mean, _thin, save_loss_curves
from dfmamba.visualization.overlay import draw_gt, draw_skeleton
from dfmamba.visualization.view3d import render_views

TOP_PX = GAP_PX + FONT_PX + 8  # of a contact sheet: the legend's line
GREY = np.full((100, 120, 3), 90, np.uint8)


def only(*joints):
    """Points in the corner but for the given ones, and a mask that shows just those."""
    points, valid = np.zeros((21, 2)), np.zeros(21, bool)
    for joint, place in joints:
        points[joint], valid[joint] = place, True
    return points, valid


def test_every_joint_has_the_colour_of_its_finger():
    colors = joint_colors(TWO_HANDS)
    assert colors[TWO_HANDS.names.index("left_pinky3")] == FINGER_COLORS["pinky"]
    assert colors[TWO_HANDS.names.index("right_wrist")] == FINGER_COLORS["wrist"]
    assert joint_colors(NYU_14)[-2:] == [FINGER_COLORS["wrist"]] * 2  # wrist and palm
    assert len(set(FINGER_COLORS.values())) == 6


@pytest.mark.parametrize("joint", [0, 5, 10, 15, 19, 20])
def test_a_joint_is_drawn_in_its_colour_at_its_pixel(joint):
    points, valid = only((joint, (70, 30)))
    drawn = draw_skeleton(GREY, points, valid, ONE_HAND)
    assert tuple(drawn[30, 70]) == joint_colors(ONE_HAND)[joint]
    assert (drawn[60:, :] == 90).all()
    assert (drawn[:, :60] == 90).all()  # nothing of the joints that are not valid
    assert (GREY == 90).all()


def test_a_bone_has_the_colour_of_its_child_and_needs_both_ends():
    tip, next_joint = 4, 5  # index4, index3
    drawn = draw_skeleton(GREY, *only((tip, (20, 50)), (next_joint, (80, 50))), ONE_HAND)
    assert tuple(drawn[50, 50]) == FINGER_COLORS["index"]
    drawn = draw_skeleton(GREY, *only((tip, (20, 50)), (8, (80, 50))), ONE_HAND)
    assert tuple(drawn[50, 50]) == (90, 90, 90)


def test_gt_is_black_with_a_white_rim():
    drawn = draw_gt(np.zeros_like(GREY), *only((4, (20, 50)), (5, (80, 50))), ONE_HAND)
    assert drawn[50, 50].max() < 60
    assert drawn[47, 50].min() > 150
    assert drawn[53, 50].min() > 150
    assert drawn[44, 50].max() == 0


@pytest.mark.parametrize("place", [(np.nan, 3), (np.inf, 3), (1e12, 3), (-40, 500)])
def test_points_outside_or_not_finite_do_no_harm(place):
    drawn = draw_skeleton(GREY, *only((4, (20, 50)), (5, place)), ONE_HAND)
    assert tuple(drawn[50, 20]) == FINGER_COLORS["index"]


@pytest.mark.parametrize(("image", "points"), [(GREY[..., 0], (21, 2)), (GREY.astype(float), (21, 2)), (GREY, (21, 3))])
def test_wrong_shapes_are_refused(image, points):
    with pytest.raises(ValueError, match="expected"):
        draw_skeleton(image, np.zeros(points), np.ones(21), ONE_HAND)


def test_the_contact_sheet_is_laid_out_row_by_row():
    tiles = [np.full((50, 60, 3), 10 * i, np.uint8) for i in range(5)]
    sheet = make_contact_sheet(
        tiles,
        [f"name {i}\n{i} mm" for i in range(5)],
    )
    cell_height = (sheet.shape[0] - TOP_PX) // 2
    assert sheet.shape[1] == GAP_PX + 3 * (60 + GAP_PX)
    assert cell_height > 50 + 2 * 15
    for number in range(5):
        x = GAP_PX + number % 3 * (60 + GAP_PX)
        y = TOP_PX + number // 3 * cell_height
        np.testing.assert_array_equal(sheet[y : y + 50, x : x + 60], tiles[number])
        caption = sheet[y + 50 : y + cell_height - GAP_PX, x : x + 60]
        assert (caption < 60).any()  # there is dark text
    last = sheet[TOP_PX + cell_height :, GAP_PX + 2 * (60 + GAP_PX) :]
    assert (last == 250).all()


def test_captions_stay_below_their_tiles():
    long = "a_very_long_name_of_a_recording/camera/image12345.jpg"
    sheet = make_contact_sheet([np.zeros((40, 80, 3), np.uint8)] * 2, [long, ""])
    assert (sheet[TOP_PX:, GAP_PX + 80 : GAP_PX + 80 + GAP_PX] == 250).all()


def test_the_legend_has_every_colour_and_a_title_adds_room_above():
    tiles = [np.zeros((320, 320, 3), np.uint8)] * 2
    plain = make_contact_sheet(tiles, ["", ""])
    full = make_contact_sheet(tiles, ["", ""], title="Title")
    assert full.shape[0] > plain.shape[0] + 15
    for color in FINGER_COLORS.values():
        assert (plain[:TOP_PX] == color).all(axis=2).sum() > 50
        assert (full[:60] == color).all(axis=2).sum() > 50


@pytest.mark.parametrize(("tiles", "captions"), [([], []), ([GREY], []), ([GREY, GREY[:50]], ["", ""])])
def test_a_sheet_needs_tiles_of_one_size_and_captions(tiles, captions):
    with pytest.raises(ValueError, match="expected one or more tiles"):
        make_contact_sheet(tiles, captions)


@pytest.mark.parametrize("count", [1, 3, 5000])
def test_curves_of_any_length_are_drawn(tmp_path, count):
    from PIL import Image

    steps = np.arange(1, count + 1)
    validation = History("toy/error_px", steps[-1:], np.array([3.0]))
    save_loss_curves(
        tmp_path / "c.png", [History("loss", steps, 5 / steps), History("loss_a", steps, 2 / steps)], validation
    )
    picture = np.array(Image.open(tmp_path / "c.png").convert("RGB"))
    assert (picture.reshape(-1, 3) == (31, 119, 180)).all(axis=1).sum() > 20  # tab:blue, the first colour of the cycle


def test_a_loss_that_is_nan_or_negative_is_drawn(tmp_path):
    save_loss_curves(tmp_path / "c.png", [History("loss", np.arange(4), np.array([1.0, np.nan, -2.0, np.inf]))])
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_smoothing_and_thinning_are_means():
    np.testing.assert_allclose(_running_mean(np.arange(100.0))[:4], [0, 0.5, 1.5, 2.5])  # a window of 2
    thin = _thin(np.arange(4001.0))
    assert len(thin) <= 2000
    np.testing.assert_allclose(thin[:2], [1, 4])  # means of three
    assert thin[-1] == 3999.5  # the rest of two


def test_the_3d_view_shows_every_finger():
    rng = np.random.default_rng(0)
    joints = rng.uniform((-60, -60, 840), (60, 60, 960), (21, 3))
    picture = render_views(joints, np.ones(21), ONE_HAND, title="a hand")
    assert picture.shape[2] == 3
    for finger in ("thumb", "pinky"):
        shade = np.array(FINGER_COLORS[finger]) / 300 * 255
        assert (np.abs(picture.astype(float) - shade).max(axis=2) < 3).sum() > 100


def test_the_3d_view_needs_a_joint():
    with pytest.raises(ValueError, match="at least one valid joint"):
        render_views(np.zeros((21, 3)), np.zeros(21), ONE_HAND)
