"""A model as the wheel ships it: a folder with a config of one file, weights, and a card with checksums and errors.

Beside these may lie the same model as an ONNX file, for onnxruntime.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfmamba.errors import DataError
from dfmamba.io.atomic import write_atomically
from dfmamba.io.digests import file_digest
from dfmamba.io.json_files import read_json

CARD, CONFIG, WEIGHTS, EXPORTED = "card.json", "config.json", "weights.pth", "model.onnx"
IN_THE_BOX = Path(__file__).parent / "model_in_the_box"
FINDER_IN_THE_BOX = Path(__file__).parent / "finder_in_the_box"


@dataclass(frozen=True)
class PackedModel:
    """A model's files, looked at.

    Attributes:
        config: The config file.
        weights: The checkpoint.
        exported: The same model as an ONNX file; None where there is none.
        card: What the model is: `name`, `trained_on`, `errors`, `date`, `sha256` of each file.
    """

    config: Path
    weights: Path
    exported: Path | None
    card: Mapping[str, Any]


def describe_card(card: Mapping[str, Any]) -> str:
    """Return a line about a model; all but its name may be missing in the metadata of an exported one."""
    text = str(card.get("name", "a model"))
    if "trained_on" in card:
        text += f": trained on {card['trained_on']}"
    errors = ", ".join(f"{name} {value}" for name, value in card.get("errors", {}).items())
    return text + (f"; {errors} ({card['date']})" if errors else "")


def metric_text(name: str, value: float) -> str:
    """Return a metric as the card has it, with its unit if it has one."""
    return f"{value:.1f} mm" if name.endswith("_mm") else f"{value:.4f}"


def open_packed_model(folder: Path = IN_THE_BOX) -> PackedModel:
    """Return the model of a folder, by default the one that the wheel brings.

    Raises:
        FileNotFoundError: There is no card.
        DataError: The card lacks something, or a file is missing or another one.
    """
    card = read_json(folder / CARD)
    missing = {"name", "trained_on", "errors", "date", "sha256"} - set(card)
    if missing:
        raise DataError(f"{folder / CARD}: expected the card of a model, got none of {', '.join(sorted(missing))}")
    for name in (CONFIG, WEIGHTS, *({EXPORTED} & set(card["sha256"]))):
        path = folder / name
        got = file_digest(path) if path.is_file() else "no file"
        if got != card["sha256"].get(name):
            raise DataError(
                f"{path}: expected the file with SHA-256 {card['sha256'].get(name)}, got {got}. Is the installation "
                "damaged? Install again."
            )
    exported = folder / EXPORTED if EXPORTED in card["sha256"] else None
    return PackedModel(folder / CONFIG, folder / WEIGHTS, exported, card)


def write_card(
    folder: Path, name: str, trained_on: str, errors: Mapping[str, str], date: str, facts: Mapping[str, Any]
) -> None:
    """Write the card of the files of a model that are in a folder.

    Args:
        folder: With config and weights, and at choice the ONNX file.
        name: Of the model.
        trained_on: What it has seen; SYNTHETIC data are called so.
        errors: Measured ones by name, as text with their unit.
        date: Of the measurement.
        facts: What else is worth knowing, such as versions.
    """
    checksums = {file: file_digest(folder / file) for file in (CONFIG, WEIGHTS, EXPORTED) if (folder / file).exists()}
    card = {"name": name, "trained_on": trained_on, "errors": dict(errors), "date": date, "sha256": checksums, **facts}
    write_atomically(folder / CARD, json.dumps(card, indent=1) + "\n")
