"""The five data sets behind one interface, for odd inputs: change what a layout has, write it, open it.

Each class holds the content of a small set in memory. What a layout has stands in `has`; a method for something that it
has not does not exist. Changes are made to the first record (`record` is what messages call it), of which there are
two or more.
"""

from collections.abc import Callable
from pathlib import Path

import assemblyhands_fixture
import cv2
import dexycb_fixture
import interhand_fixture
import numpy as np
import nyu_fixture
import rhp_fixture
import yaml

from dfmamba.datasets import AssemblyHandsDataset, DexYCBDataset, InterHand26MDataset, NYUDataset, RHPDataset
from dfmamba.skeleton import NYU_14_OF_36

LOAD = [{"type": "mmpose.LoadImage"}]


class SmallSet:
    """What all have in common."""

    has: frozenset[str] = frozenset()
    record = ""
    unit = "mm"
    pipeline: list[dict] = LOAD

    @property
    def image_record(self) -> str:
        """What messages about the first image call its record."""
        return self.record

    def __init__(self) -> None:
        self.damages: list[Callable[[Path], None]] = []
        self.arguments: dict = {}

    def write(self, root: Path) -> None:
        """Write annotations and images below a folder, and do the damage."""
        self.write_files(root)
        for damage in self.damages:
            damage(root)

    def damage(self, change: Callable[[bytes], bytes], kind: str = "joints") -> None:
        """Change the bytes of a file once it is written: of the annotation file with the joints, or another one."""

        def apply(root: Path) -> None:
            path = self.path(root, kind)
            path.write_bytes(change(path.read_bytes()))

        self.damages.append(apply)

    def replace(self, make: Callable[[Path], object], kind: str = "joints") -> None:
        """Put something else in the place of a file once it is written."""

        def apply(root: Path) -> None:
            self.path(root, kind).unlink()
            make(self.path(root, kind))

        self.damages.append(apply)

    def scale(self, factor: float, every: bool = False) -> None:
        """Multiply joints in space by a factor."""
        self.change_joints(lambda joints: joints * factor, every)

    def move_away(self, distance_mm: float) -> None:
        """Move joints away from the camera."""
        distance = distance_mm if self.unit == "mm" else distance_mm / 1000
        self.change_joints(lambda joints: np.add(joints, [0, 0, distance]))

    def open(self, root: Path, **arguments):
        """Open the data set, its index beside it."""
        return self.kind(**{"data_root": str(root), "cache_dir": str(root / "cache")} | self.arguments | arguments)


class JsonSet(SmallSet):
    """Of which all annotation files are JSON; `content` has them by name."""

    has = frozenset({"JSON", "names", "image ids", "image size", "box", "camera"})
    content: dict

    def image(self) -> dict:
        """The first image."""
        return self.content["data"]["images"][0]

    def annotation(self) -> dict:
        """The first annotation."""
        return self.content["data"]["annotations"][0]

    def repeat_image_id(self) -> None:
        images = self.content["data"]["images"]
        images[1]["id"] = images[0]["id"]

    def repeat_annotation_id(self) -> None:
        annotations = self.content["data"]["annotations"]
        annotations[1]["id"] = annotations[0]["id"]

    def set_image_size(self, width, height) -> None:
        self.image().update(width=width, height=height)


class InterHand(JsonSet):
    kind = InterHand26MDataset
    has = JsonSet.has | {"camera lists", "pose", "two hands", "sequences", "side", "side and validity"}
    record = "11"

    def __init__(self) -> None:
        super().__init__()
        self.content = interhand_fixture.contents()
        self.arguments = {"split": "test"}

    def write_files(self, root: Path) -> None:
        interhand_fixture.write_annotations(root, self.content)
        interhand_fixture.write_images(root, interhand_fixture.contents())

    def path(self, root: Path, kind: str) -> Path:
        if kind == "image":
            return root / "images/test" / interhand_fixture.contents()["data"]["images"][0]["file_name"]
        name = {"joints": "joint_3d", "pose": "camera", "camera": "camera"}.get(kind, "data")
        return root / f"annotations/test/InterHand2.6M_test_{name}.json"

    def entries(self, every: bool) -> list[tuple[dict, str]]:
        """Where the joints are: dictionaries and keys."""
        frames = self.content["joint_3d"]["0"]
        return [(frames[frame], "world_coord") for frame in (frames if every else ["3"])]

    def change_joints(self, change, every: bool = False) -> None:
        for entry, key in self.entries(every):
            joints = np.array(entry[key], dtype=np.float64)
            entry[key] = np.concatenate([change(joints[:21]), change(joints[21:])]).tolist()

    def set_camera(self, key: str, value) -> None:
        self.content["camera"]["0"][key]["400001"] = value

    def set_focal(self, value) -> None:
        self.set_camera("focal", value)

    def set_principal_point(self, value) -> None:
        self.set_camera("princpt", value)

    def change_rotation(self, change) -> None:
        self.set_camera("camrot", change(np.array(self.content["camera"]["0"]["camrot"]["400001"])).tolist())

    def set_place(self, value) -> None:
        self.set_camera("campos", value)

    def set_box(self, x0, y0, x1, y1) -> None:
        self.annotation()["bbox"] = [x0, y0, x1 - x0, y1 - y0]

    def set_side(self, side: str) -> None:
        self.annotation()["hand_type"] = side

    def keep_one_hand(self) -> None:
        self.annotation()["joint_valid"] = self.annotation()["joint_valid"][:21]
        entry, key = self.entries(False)[0]
        entry[key] = entry[key][:21]


class AssemblyHands(JsonSet):
    kind = AssemblyHandsDataset
    has = JsonSet.has | {"pose", "two hands", "sequences", "side"}
    record = "11"

    def __init__(self) -> None:
        super().__init__()
        self.content = assemblyhands_fixture.contents()
        self.arguments = {"split": "val"}
        self.calibration = self.content["calib"]["calibration"][assemblyhands_fixture.FIRST]

    def write_files(self, root: Path) -> None:
        assemblyhands_fixture.write_annotations(root, self.content)
        assemblyhands_fixture.write_images(root, assemblyhands_fixture.contents())

    def path(self, root: Path, kind: str) -> Path:
        if kind == "image":
            return root / "images" / assemblyhands_fixture.contents()["data"]["images"][0]["file_name"]
        number = {"joints": 2, "pose": 1, "camera": 1}.get(kind, 0)
        return assemblyhands_fixture.paths(root)[number]

    def entries(self, every: bool) -> list[tuple[dict, str]]:
        """Where the joints are: dictionaries and keys."""
        sequences = self.content["joint"]["annotations"]
        if not every:
            return [(sequences[assemblyhands_fixture.FIRST]["000010"], "world_coord")]
        return [(frame, "world_coord") for frames in sequences.values() for frame in frames.values()]

    change_joints = InterHand.change_joints

    def change_matrix(self, change) -> None:
        """Change the intrinsic matrix."""
        matrices = self.calibration["intrinsics"]
        matrix = np.array(matrices["HMC_84346135_mono10bit"], dtype=np.float64)
        change(matrix)
        matrices["HMC_84346135_mono10bit"] = matrix.tolist()

    def set_focal(self, value) -> None:
        self.change_matrix(lambda matrix: matrix.__setitem__(([0, 1], [0, 1]), value))

    def set_principal_point(self, value) -> None:
        self.change_matrix(lambda matrix: matrix.__setitem__(([0, 1], [2, 2]), value))

    def change_rotation(self, change) -> None:
        matrices = self.calibration["extrinsics"]["000010"]
        matrix = np.array(matrices["HMC_84346135_mono10bit"], dtype=np.float64)
        matrix[:, :3] = change(matrix[:, :3])
        matrices["HMC_84346135_mono10bit"] = matrix.tolist()

    def set_place(self, value) -> None:
        matrices = self.calibration["extrinsics"]["000010"]
        matrices["HMC_84346135_mono10bit"] = np.column_stack(
            [np.array(matrices["HMC_84346135_mono10bit"])[:, :3], value]
        ).tolist()

    def set_box(self, x0, y0, x1, y1) -> None:
        self.annotation()["bbox"]["right"] = [x0, y0, x1, y1]

    def set_side(self, side: str) -> None:
        self.annotation()["bbox"] = {side: [1, 2, 3, 4]}

    keep_one_hand = InterHand.keep_one_hand


class RHPJson(JsonSet):
    kind = RHPDataset
    has = JsonSet.has | {"camera lists", "side"}
    record = "100"

    def __init__(self) -> None:
        super().__init__()
        self.content = {"data": rhp_fixture.coco("internet", {0: "right", 1: "left", 2: "right"})}
        self.arguments = {"split": "test", "ann_file": "RHD_evaluation.json"}

    def write_files(self, root: Path) -> None:
        rhp_fixture.write_rhp(root)
        rhp_fixture.write_coco(root, self.content["data"])

    def path(self, root: Path, kind: str) -> Path:
        return root / ("evaluation/color/00000.png" if kind == "image" else "RHD_evaluation.json")

    def entries(self, every: bool) -> list[tuple[dict, str]]:
        """Where the joints are: dictionaries and keys."""
        annotations = self.content["data"]["annotations"]
        return [(annotation, "joint_cam") for annotation in (annotations if every else annotations[:1])]

    def change_joints(self, change, every: bool = False) -> None:
        for entry, key in self.entries(every):
            entry[key] = change(np.array(entry[key], dtype=np.float64)).tolist()

    set_box, set_side = InterHand.set_box, InterHand.set_side

    def set_focal(self, value) -> None:
        self.image()["cam_param"]["focal"] = value

    def set_principal_point(self, value) -> None:
        self.image()["cam_param"]["princpt"] = value


class RHPPickle(SmallSet):
    kind = RHPDataset
    has = frozenset({"camera", "pickle", "masks"})
    record, unit = "0", "m"

    def __init__(self) -> None:
        super().__init__()
        self.content = rhp_fixture.frames()
        self.arguments = {"split": "test"}

    def write_files(self, root: Path) -> None:
        rhp_fixture.write_rhp(root, self.content)

    def path(self, root: Path, kind: str) -> Path:
        return root / {"image": "evaluation/color/00000.png", "mask": "evaluation/mask/00000.png"}.get(
            kind, "evaluation/anno_evaluation.pickle"
        )

    def entries(self, every: bool) -> list[tuple[dict, str]]:
        """Where the joints are: dictionaries and keys."""
        return [(self.content[number], "xyz") for number in (self.content if every else [0])]

    def change_joints(self, change, every: bool = False) -> None:
        for entry, key in self.entries(every):
            joints = entry[key].astype(np.float64)
            entry[key] = np.concatenate([change(joints[:21]), change(joints[21:])])

    def set_focal(self, value) -> None:
        self.content[0]["K"] = np.diag([*value, 1.0]) + np.array([[0, 0, 160.0], [0, 0, 150.0], [0, 0, 0]])

    def set_principal_point(self, value) -> None:
        self.content[0]["K"] = np.array([[250.0, 0, value[0]], [0, 300.0, value[1]], [0, 0, 1]])


class NYU(SmallSet):
    kind = NYUDataset
    has = frozenset({"MATLAB"})
    record, image_record = "0", "1"  # the files' names count from 1
    pipeline = nyu_fixture.CROP

    def __init__(self) -> None:
        super().__init__()
        self.content = nyu_fixture.contents()
        self.arguments = {"split": "test", "centers": nyu_fixture.CENTERS}

    def write_files(self, root: Path) -> None:
        nyu_fixture.write_annotations(root, self.content)
        nyu_fixture.write_images(root)

    def path(self, root: Path, kind: str) -> Path:
        return root / {"image": "test/depth_1_0000001.png", "box": nyu_fixture.CENTERS}.get(kind, nyu_fixture.JOINTS)

    def entries(self, every: bool) -> list[tuple[dict, str]]:
        """Where the joints are: all of them in one array."""
        return [(self.content, "joint_uvd")]

    def change_joints(self, change, every: bool = False) -> None:
        joints = self.content["joint_uvd"][0]
        for frame in range(len(joints) if every else 1):
            joints[frame, list(NYU_14_OF_36)] = change(joints[frame, list(NYU_14_OF_36)])

    def scale(self, factor: float, every: bool = False) -> None:
        """Of points seen from the camera, only the depth changes."""
        self.change_joints(lambda joints: joints * (1, 1, factor), every)

    def move_away(self, distance_mm: float) -> None:
        """The hand stays as large as it is, and so becomes smaller in the image."""

        def change(uvd):
            farther, center = uvd[:, 2:] + distance_mm, np.array([320, 240])
            return np.concatenate([center + (uvd[:, :2] - center) * uvd[:, 2:] / farther, farther], axis=1)

        self.change_joints(change)


class DexYCB(SmallSet):
    """One recording of three frames, seen by two cameras; in the last one there is no hand."""

    kind = DexYCBDataset
    has = frozenset({"camera", "camera files", "YAML", "side", "npz"})
    record, unit = "0", "m"

    def __init__(self) -> None:
        super().__init__()
        subject = dexycb_fixture.SUBJECTS[0]
        self.recording = f"{subject}/{dexycb_fixture.recording_names(subject)[0]}"
        self.labels = {
            (camera, frame): dexycb_fixture.label(frame, camera, frame < 2) for camera in range(2) for frame in range(3)
        }
        self.meta = dexycb_fixture.meta(subject, 1)
        self.color = {"fx": 600.0, "fy": 500.0, "ppx": 320.0, "ppy": 240.0}
        self.arguments = {
            "subjects": [subject],
            "serials": dexycb_fixture.SERIALS,
            "sequences": [0],
            "sequences_per_subject": 1,
            "index_workers": 1,
        }

    def write_files(self, root: Path) -> None:
        picture = cv2.imencode(".jpg", np.full((480, 640, 3), 40, dtype=np.uint8))[1].tobytes()
        for (camera, frame), arrays in self.labels.items():
            folder = root / self.recording / dexycb_fixture.SERIALS[camera]
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(folder / f"labels_{frame:06d}.npz", **arrays)
            (folder / f"color_{frame:06d}.jpg").write_bytes(picture)
        (root / self.recording / "meta.yml").write_text(yaml.safe_dump(self.meta))
        (root / "calibration/intrinsics").mkdir(parents=True)
        for serial in dexycb_fixture.SERIALS:
            (root / f"calibration/intrinsics/{serial}_640x480.yml").write_text(yaml.safe_dump({"color": self.color}))

    def path(self, root: Path, kind: str) -> Path:
        serial = dexycb_fixture.SERIALS[0]
        return root / {
            "joints": f"{self.recording}/{serial}/labels_000000.npz",
            "image": f"{self.recording}/{serial}/color_000000.jpg",
            "side": f"{self.recording}/meta.yml",
        }.get(kind, f"calibration/intrinsics/{serial}_640x480.yml")

    def entries(self, every: bool) -> list[tuple[dict, str]]:
        """Where the joints are: dictionaries and keys."""
        return [(self.labels[key], "joint_3d") for key in (self.labels if every else [(0, 0)]) if key[1] < 2]

    def change_joints(self, change, every: bool = False) -> None:
        for entry, key in self.entries(every):
            entry[key] = change(entry[key][0].astype(np.float64))[None]

    def set_focal(self, value) -> None:
        self.color["fx"], self.color["fy"] = (float(number) for number in value)

    def set_principal_point(self, value) -> None:
        self.color["ppx"], self.color["ppy"] = (float(number) for number in value)

    def set_side(self, side: str) -> None:
        self.meta["mano_sides"] = [side]


SETS: dict[str, type[SmallSet]] = {
    "interhand26m": InterHand,
    "rhp": RHPPickle,
    "rhp_json": RHPJson,
    "nyu": NYU,
    "dexycb": DexYCB,
    "assemblyhands": AssemblyHands,
}
