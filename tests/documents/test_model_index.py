"""model-index.yml, which OpenMMLab's tools read: its files are there, and its figures are those of the model's card."""

import json

import pytest
import yaml
from document import ROOT

from dfmamba.apis.packed_model import metric_text

INDEX = yaml.safe_load((ROOT / "model-index.yml").read_text())
COLLECTIONS = {collection["Name"] for collection in INDEX["Collections"]}


@pytest.mark.parametrize("model", INDEX["Models"], ids=lambda model: model["Name"])
def test_a_model_is_there_with_the_errors_of_its_card(model):
    assert model["In Collection"] in COLLECTIONS
    for key in ("Config", "Weights", "README"):
        assert (ROOT / model[key]).is_file(), key
    card = json.loads((ROOT / model["Weights"]).with_name("card.json").read_text())
    assert card["config"] == model["Config"]
    (result,) = model["Results"]
    assert {name: metric_text(name, value) for name, value in result["Metrics"].items()} == card["errors"]
    assert "SYNTHETIC" in result["Dataset"]
    assert "SYNTHETIC" in model["Metadata"]["Training Data"]
