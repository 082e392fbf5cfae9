import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params
from PIL import Image

from dfmamba.codecs import A2JCodec
from dfmamba.crops import clip_to_cube
from dfmamba.datasets import CropDepthCube, LoadNYUDepth, RandomDepthBoxJitter, RandomDepthErasing, RandomRotateScale3D
from dfmamba.datasets.transforms.depth import A2J_MEAN_MM, A2J_STD_MM
from dfmamba.io.depth_images import decode_depth

REAL_SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "nyu"


def write_depth(path, depth, **changes):
    """Write a depth map (H, W) in mm with PIL: red junk, green high, blue low."""
    depth = np.asarray(depth)
    channels = {"red": np.full_like(depth, 99), "green": depth // 256, "blue": depth % 256} | changes
    rgb = np.stack([channels["red"], channels["green"], channels["blue"]], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(path)
    return path


def sample(depth=None, bbox=(100.0, 50.0, 300.0, 250.0), center=800.0, joints=((150.0, 100.0, 10.0),)):
    """A sample with the keys that the crop reads."""
    img = np.full((480, 640, 1), center, dtype=np.float32) if depth is None else depth[..., None].astype(np.float32)
    return {
        "img": img,
        "bbox": np.array([bbox], dtype=np.float32),
        "img_path": "depth.png",
        "keypoints": np.array([joints], dtype=np.float32),
        "root_depth": np.full(len(joints), center, dtype=np.float32),
    }


# ---- reading


def test_green_is_the_high_byte():
    bgr = np.array([[[7, 3, 200], [0, 0, 255], [255, 255, 0]]], dtype=np.uint8)
    assert decode_depth(bgr).tolist() == [[3 * 256 + 7, 0, 65535]]  # red says nothing


def test_load_depth(tmp_path):
    depth = np.zeros((480, 640), dtype=int)
    depth[5, 9], depth[479, 639] = 1234, 800
    path = write_depth(tmp_path / "depth_1_0000001.png", depth)
    results = LoadNYUDepth()({"img_path": str(path)})
    assert results["img"].dtype == np.float32
    assert results["img"].shape == (480, 640, 1)
    np.testing.assert_array_equal(results["img"][..., 0], depth)
    assert results["img_shape"] == results["ori_shape"] == (480, 640)


def start_of_png(width, height):
    """The header of a PNG of that size, and the name of the chunk of pixels, without pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 1000)
        + b"IDAT"
    )


def break_image(path, kind):
    """Replace a good depth image by a broken one."""
    depth = np.full((480, 640), 800)
    if kind == "half written":
        content = write_depth(path, np.random.default_rng(0).integers(0, 2000, (480, 640))).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "only a header":
        path.write_bytes(start_of_png(640, 480))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("404: not found")
    elif kind == "16 bit, one channel":
        cv2.imwrite(str(path), depth.astype(np.uint16))
    elif kind == "8 bit, one channel":
        cv2.imwrite(str(path), (depth % 256).astype(np.uint8))
    elif kind == "16 bit, three channels":
        cv2.imwrite(str(path), np.dstack([depth] * 3).astype(np.uint16))
    elif kind == "four channels":
        cv2.imwrite(str(path), np.dstack([depth % 256] * 4).astype(np.uint8))
    elif kind == "huge header":
        path.write_bytes(start_of_png(30000, 30000))
    elif kind == "another size":
        write_depth(path, np.full((240, 320), 800))
    elif kind in ("JPEG", "WEBP"):  # looks the same, but 256 green + blue is not what it was
        Image.fromarray(np.dstack([depth % 256] * 3).astype(np.uint8)).save(path, kind)
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(np.dstack([depth % 256] * 3).astype(np.uint8)).save(path, "PNG", exif=exif)
    elif kind == "missing":
        path.unlink(missing_ok=True)


BROKEN_IMAGES = {
    "half written": (ValueError, "a PNG whose end is missing"),
    "only a header": (ValueError, "a PNG whose end is missing"),
    "empty": (ValueError, "an empty file"),
    "text": (ValueError, "an unknown format"),
    "16 bit, one channel": (ValueError, "8 bits and three channels .*got uint16"),
    "8 bit, one channel": (ValueError, r"8 bits and three channels .*got uint8 and shape \(480, 640\)"),
    "16 bit, three channels": (ValueError, "8 bits and three channels .*got uint16"),
    "four channels": (ValueError, r"three channels .*\(480, 640, 4\)"),
    "huge header": (ValueError, "expected an image of at most .*"),
    "another size": (ValueError, "expected an image of 640 x 480 px, as annotated, got 320 x 240 px"),
    "JPEG": (ValueError, "a depth image as PNG or BMP, which keep every byte, .*got a JPEG"),
    "WEBP": (ValueError, "a depth image as PNG or BMP, which keep every byte, .*got a WEBP"),
    "turned": (ValueError, "with the EXIF orientation 1, got a PNG with the orientation 3"),
    "missing": (FileNotFoundError, "depth_1_0000001.png"),
}


@pytest.mark.parametrize("kind", BROKEN_IMAGES)
def test_broken_image(tmp_path, kind):
    path = tmp_path / "depth_1_0000001.png"
    break_image(path, kind)
    error, message = BROKEN_IMAGES[kind]
    with pytest.raises(error, match=message) as caught:
        LoadNYUDepth()({"img_path": str(path)})
    assert str(path) in str(caught.value)


# ---- the cube


def test_clip_to_cube():
    depth = np.array([0.0, 649.9, 650, 650.1, 800, 949.9, 950, 1500])  # center 800, cube +-150
    np.testing.assert_allclose(clip_to_cube(depth, 800, 150), [0, 0, 0, -149.9, 0, 149.9, 0, 0])


def test_normalisation_is_a2js():
    if not REAL_SAMPLES.is_dir():
        pytest.skip(f"A2J's numbers are not at {REAL_SAMPLES}")
    np.testing.assert_allclose(np.load(REAL_SAMPLES / "nyu_mean.npy").item(), A2J_MEAN_MM, rtol=1e-12)
    np.testing.assert_allclose(np.load(REAL_SAMPLES / "nyu_std.npy").item(), A2J_STD_MM, rtol=1e-12)


def test_crop_against_numbers_worked_out_by_hand():
    depth = np.full((480, 640), 1500.0)
    depth[100:120, 150:170] = 830
    results = CropDepthCube()(sample(depth))  # box of 200 px at (100, 50), so 0.88 crop px a px
    np.testing.assert_allclose(results["transformed_keypoints"], [[[50 * 0.88, 50 * 0.88, 10]]], rtol=1e-6)
    assert results["img"].shape == (176, 176, 1)
    assert results["img"].dtype == np.float32
    hand, wall = (30 + 0.66877532422628) / 28.329582076876047, 0.66877532422628 / 28.329582076876047
    np.testing.assert_allclose(results["img"][50, 50], hand, rtol=1e-5)
    np.testing.assert_allclose(results["img"][150, 150], wall, rtol=1e-5)
    assert results["input_size"] == (176, 176)
    np.testing.assert_allclose(results["input_center"], [200, 150])
    np.testing.assert_allclose(results["input_scale"], [200, 200])


def a2j_crop(depth, bbox, joints, center, offsets=(0, 0, 0, 0)):
    """A2J's test-time crop written out: whole pixels for the image, fractions for the joints."""
    x0, y0 = max(bbox[0] + offsets[0], 0), max(bbox[1] + offsets[1], 0)
    x1, y1 = min(bbox[2] + offsets[2], 639), min(bbox[3] + offsets[3], 479)
    crop = cv2.resize(depth[int(y0) : int(y1), int(x0) : int(x1)], (176, 176), interpolation=cv2.INTER_NEAREST)
    crop[(crop >= center + 150) | (crop <= center - 150)] = center
    crop = (crop - center + 0.66877532422628) / 28.329582076876047
    return crop, (joints[:, 0] - x0) * 176 / (x1 - x0), (joints[:, 1] - y0) * 176 / (y1 - y0)


@pytest.mark.parametrize("bbox", [(100.3, 50.6, 260.8, 210.1), (-20.4, 300.2, 140.0, 520.3), (560.5, -30, 700, 99.9)])
@pytest.mark.parametrize("offsets", [(0, 0, 0, 0), (-5, 4, 2, -3)])
def test_crop_is_a2js(bbox, offsets):
    rows, columns = np.indices((480, 640))
    depth = (670 + 0.3 * rows + 0.2 * columns).astype(np.float32)  # within the cube; a pixel changes it by 0.5 mm
    joints = np.array([[120.0, 90.0, 5.0], [150.5, 310.25, -20.0], [600.0, 20.0, 3.0]], dtype=np.float32)
    results = sample(depth, bbox, 800.0, joints)
    jitter = RandomDepthBoxJitter()
    jitter._draw = lambda: np.array(offsets)
    results = CropDepthCube()(jitter(results))
    crop, x, y = a2j_crop(depth.copy(), bbox, joints, 800.0, offsets)
    np.testing.assert_allclose(results["transformed_keypoints"][0, :, 0], x, atol=1e-3)
    np.testing.assert_allclose(results["transformed_keypoints"][0, :, 1], y, atol=1e-3)
    np.testing.assert_array_equal(results["transformed_keypoints"][0, :, 2], joints[:, 2])
    np.testing.assert_allclose(results["img"][..., 0], crop, atol=1.05 / A2J_STD_MM)  # 2 px, see the class


def test_way_back_to_the_image_and_to_mm():
    """mmpose's estimator maps crop px to image px with these three numbers, the codec bins to mm."""
    rng = np.random.default_rng(0)
    joints = rng.uniform([90, 60, -140], [200, 180, 140], (14, 3)).astype(np.float32)
    results = CropDepthCube()(sample(bbox=(80.25, 50.5, 240.75, 210.25), joints=joints))
    codec = A2JCodec((176, 176), depth_bins=450, depth_range_mm=450.0)
    encoded = codec.encode(results["transformed_keypoints"], np.ones((1, 14)))
    assert encoded["keypoint_weights"].all()
    decoded, _ = codec.decode(encoded["keypoint_labels"])
    center, scale, size = results["input_center"], results["input_scale"], results["input_size"]
    decoded[..., :2] = decoded[..., :2] / size * scale + center - 0.5 * scale
    np.testing.assert_allclose(decoded[0], joints, atol=1e-3)


@pytest.mark.parametrize(
    "bbox", [(700, 10, 800, 90), (-90, 10, -5, 90), (10, 479, 90, 600), (9, 9, 9, 9), (np.nan, 0, 100, 100)]
)
def test_box_beyond_the_image_is_refused(bbox):
    with pytest.raises(ValueError, match=r"depth\.png: expected a 'bbox' .* that meets the image of 640 x 480 px, got"):
        CropDepthCube()(sample(bbox=bbox))


# ---- the augmentation


def turned(rotation, scale, depth=None, **kwargs):
    turn = RandomRotateScale3D()
    turn._draw = lambda: (rotation, scale)
    return CropDepthCube()(turn(sample(depth, **kwargs)))


def test_turn_against_numbers_worked_out_by_hand():
    """The joint is at (44, 44) in the crop, so (-44, -44) from the middle; 90 degrees counter-clockwise in the picture,
    whose y points down, take (x, y) to (y, -x), and the scale halves it, z too."""
    results = turned(90.0, 0.5)
    np.testing.assert_allclose(results["transformed_keypoints"], [[[88 - 22, 88 + 22, 5]]], rtol=1e-5)
    np.testing.assert_array_equal(results["keypoints"], [[[150, 100, 10]]])


@pytest.mark.parametrize(("rotation", "scale"), [(0.0, 1.0), (37.0, 1.0), (-120.0, 0.6), (179.0, 1.4)])
def test_turn_moves_the_pixels_with_the_joints(rotation, scale):
    depth = np.full((480, 640), 1500.0)
    depth[95:106, 165:176] = 840  # around (170, 100), 40 mm behind the center
    results = turned(rotation, scale, depth, joints=((170.0, 100.0, 40.0),))
    hand = results["img"][..., 0] > 0.5
    rows, columns = np.nonzero(hand)
    np.testing.assert_allclose([columns.mean(), rows.mean()], results["transformed_keypoints"][0, 0, :2], atol=0.6)
    value = results["img"][hand] * A2J_STD_MM + A2J_MEAN_MM
    np.testing.assert_allclose(value, results["transformed_keypoints"][0, 0, 2], rtol=1e-4)  # depth and label agree
    assert results["transformed_keypoints"][0, 0, 2] == pytest.approx(40 * scale)


def test_beyond_the_image_is_background():
    depth = np.full((480, 640), 805.0)
    results = turned(45.0, 0.5, depth)
    background = np.float32(-A2J_MEAN_MM / A2J_STD_MM)
    assert results["img"][0, 0, 0] == pytest.approx(background)
    assert results["img"][88, 88, 0] == pytest.approx((2.5 - A2J_MEAN_MM) / A2J_STD_MM)


def test_draws_of_turn_and_jitter():
    np.random.seed(0)  # noqa: NPY002, the transforms draw from the global generator
    turn = RandomRotateScale3D()
    rotation, scale = np.array([turn._draw() for _ in range(4000)]).T
    assert (rotation == rotation.round()).all()
    assert (rotation.min(), rotation.max()) == (-180, 179)
    assert scale.min() == pytest.approx(0.5, abs=0.01)
    assert scale.max() == pytest.approx(1.5, abs=0.01)
    np.testing.assert_allclose([rotation.std(), scale.std()], np.array([360, 1]) / np.sqrt(12), rtol=0.05)
    jitter = RandomDepthBoxJitter()
    moves = np.array([jitter._draw() for _ in range(1000)])
    assert set(moves.ravel()) == set(range(-5, 5))
    assert np.abs(np.corrcoef(moves.T) - np.eye(4)).max() < 0.15  # each side has its own
    box = np.array([[10.5, 20, 30, 40]], dtype=np.float32)
    jitter._draw = lambda: np.array([-5, 4, 0, 1])
    assert jitter({"bbox": box})["bbox"].tolist() == [[5.5, 24, 30, 41]]
    assert box[0, 0] == 10.5


def test_erasing():
    np.random.seed(0)  # noqa: NPY002, the transforms draw from the global generator
    erase, ones = RandomDepthErasing(), np.ones((176, 176, 1), dtype=np.float32)
    areas, ratios = [], []
    for _ in range(1000):
        erased = erase({"img": ones})["img"][..., 0] == 0
        if erased.any():
            rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
            assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # one rectangle
            areas.append(erased.mean())
            ratios.append(len(rows) / len(columns))
    assert ones.all()
    assert len(areas) / 1000 == pytest.approx(0.5, abs=0.05)
    assert 0.019 < min(areas) < 0.03
    assert 0.35 < max(areas) < 0.41
    assert 0.28 < min(ratios) < 0.4
    assert 2.5 < max(ratios) < 3.5
    assert (RandomDepthErasing(prob=0.0)({"img": ones})["img"] == 1).all()


def test_random_choices_can_be_cached():
    transforms = [RandomDepthBoxJitter(), RandomRotateScale3D(), CropDepthCube(), RandomDepthErasing()]
    depth = np.random.default_rng(0).uniform(700, 900, (480, 640))
    with cache_random_params(transforms):
        results = []
        for _ in range(2):
            result = sample(depth)
            for transform in transforms:
                result = transform(result)
            results.append(result)
    for key in ("img", "bbox", "transformed_keypoints"):
        np.testing.assert_array_equal(results[0][key], results[1][key], err_msg=key)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomDepthBoxJitter(pixels=0), "pixels: expected a positive integer, got 0"),
        (lambda: RandomRotateScale3D(scale=(1.5, 0.5)), r"0 < smallest <= largest, got 180 and \(1.5, 0.5\)"),
        (lambda: RandomRotateScale3D(rotation_deg=0), "rotation_deg >= 1"),
        (lambda: CropDepthCube(half_depth_mm=0), "half_depth_mm > 0"),
        (lambda: CropDepthCube(std=0), "std > 0"),
        (lambda: RandomDepthErasing(prob=2), "0 <= prob <= 1"),
        (lambda: RandomDepthErasing(area=(0.5, 0.1)), "smallest <= largest area"),
    ],
)
def test_unusable_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_ends_of_the_ranges_are_usable():
    jitter, turn = RandomDepthBoxJitter(pixels=1), RandomRotateScale3D(rotation_deg=1, scale=(1, 1))
    assert set(np.ravel([jitter._draw() for _ in range(50)])) == {-1, 0}
    assert {turn._draw() for _ in range(50)} == {(-1, 1), (0, 1)}
    erase, ones = RandomDepthErasing(prob=1, area=(1, 1), aspect=1), np.ones((9, 9, 1))
    assert erase({"img": ones})["img"].all()  # a rectangle as large as the crop is never used
    with pytest.raises(ValueError, match="0 < smallest <= largest, got 180"):
        RandomRotateScale3D(scale=(0, 1))
    with pytest.raises(ValueError, match="0 < smallest <= largest area <= 1"):
        RandomDepthErasing(area=(0, 0.5))


def test_the_cubes_half_depth_is_150_mm_by_default():
    depth = np.full((480, 640), 800.0)
    depth[100:200, 150:250], depth[200:240, 150:250] = 949.9, 950.1
    crop = CropDepthCube()(sample(depth))["img"][..., 0] * A2J_STD_MM + A2J_MEAN_MM
    np.testing.assert_allclose(np.unique(crop.round(1)), [0, 149.9], atol=0.1)


@pytest.mark.parametrize(
    "transform", [LoadNYUDepth, RandomDepthBoxJitter, RandomRotateScale3D, CropDepthCube, RandomDepthErasing]
)
def test_repr_is_the_call(transform):
    assert vars(eval(repr(transform()))) == vars(transform())
