"""A model as the wheel ships it: a folder with a config of one file, weights, and a card with checksums and errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfmamba.errors import DataError
from dfmamba.io.atomic import write_atomically
from dfmamba.io.digests import file_digest
from dfmamba.io.json_files import read_json

CARD, CONFIG, WEIGHTS = "card.json", "config.json", "weights.pth"
IN_THE_BOX = Path(__file__).parent / "model_in_the_box"


@dataclass(frozen=True)
class PackedModel:
    """A model's files, looked at.

    Attributes:
        config: The config file.
        weights: The checkpoint.
        card: What the model is: `name`, `trained_on`, `errors`, `date`, `sha256` of each file.
    """

    config: Path
    weights: Path
    card: Mapping[str, Any]

    def describe(self) -> str:
        """Return a line about the model."""
        errors = ", ".join(f"{name} {value}" for name, value in self.card["errors"].items())
        return f"{self.card['name']}: trained on {self.card['trained_on']}; {errors} ({self.card['date']})"


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
    for name in (CONFIG, WEIGHTS):
        path = folder / name
        got = file_digest(path) if path.is_file() else "no file"
        if got != card["sha256"].get(name):
            raise DataError(
                f"{path}: expected the file with SHA-256 {card['sha256'].get(name)}, got {got}. Is the installation "
                "damaged? Install again."
            )
    return PackedModel(folder / CONFIG, folder / WEIGHTS, card)


def write_card(
    folder: Path, name: str, trained_on: str, errors: Mapping[str, str], date: str, facts: Mapping[str, Any]
) -> None:
    """Write the card of the config and weights that are in a folder.

    Args:
        folder: With both files.
        name: Of the model.
        trained_on: What it has seen; SYNTHETIC data are called so.
        errors: Measured ones by name, as text with their unit.
        date: Of the measurement.
        facts: What else is worth knowing, such as versions.
    """
    checksums = {file: file_digest(folder / file) for file in (CONFIG, WEIGHTS)}
    card = {"name": name, "trained_on": trained_on, "errors": dict(errors), "date": date, "sha256": checksums, **facts}
    write_atomically(folder / CARD, json.dumps(card, indent=1) + "\n")
