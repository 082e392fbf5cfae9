"""Write an estimator as an ONNX file, and hold it against PyTorch."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime import quantization

from dfmamba.apis.exported_model import open_session
from dfmamba.errors import UserError
from dfmamba.export.graph import ImageGraph, largest_differences, operators_for_onnx, random_crops
from dfmamba.ops import onnx_form

MAX_RELATIVE_ERROR = 1e-4  # of float32, of the largest value of an output
SMALL_WEIGHT = 1024  # numbers; not worth a Cast


def write_onnx(graph: ImageGraph, path: Path, card: Mapping[str, Any]) -> dict[str, float]:
    """Write an ONNX file with a dynamic batch and metadata, and compare its outputs with PyTorch's.

    Args:
        graph: The estimator, on the CPU in float32.
        path: Of the file.
        card: Of the model, for the metadata.

    Returns:
        How far the outputs are from PyTorch's, see `largest_differences`.

    Raises:
        UserError: The outputs differ by more than `MAX_RELATIVE_ERROR`.
    """
    facts = graph.facts(card)
    names = list(facts.outputs)
    with operators_for_onnx(), torch.no_grad(), quiet():
        program = torch.onnx.export(
            graph,
            (random_crops(graph, 2),),
            dynamo=True,
            opset_version=onnx_form.OPSET,
            input_names=["crops"],
            output_names=names,
            dynamic_shapes={"crops": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx_form.add_functions(model)
    onnx.helper.set_model_props(model, {facts.key: facts.to_json()})
    for part in (model.graph, *model.graph.node):  # the exporter's notes on where in our code a node comes from
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.checker.check_model(model)
    onnx.save(model, path)
    errors = compare(graph, path)
    if wrong := {name: error for name, error in errors.items() if not error <= MAX_RELATIVE_ERROR}:
        raise UserError(f"{path}: expected PyTorch's results to {MAX_RELATIVE_ERROR:g}, got differences of {wrong}")
    return errors


def compare(graph: ImageGraph, path: Path) -> dict[str, float]:
    """Return how far a file's outputs are from PyTorch's, see `largest_differences`."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    return largest_differences(
        graph, lambda crops: dict(zip(names, session.run(names, {"crops": crops.numpy()}), strict=True))
    )


def make_smaller(graph: ImageGraph, path: Path, form: str) -> dict[str, float]:
    """Replace an ONNX file by a smaller one, and return how far its outputs are from PyTorch's.

    Args:
        graph: What the file was made of.
        path: Of the file.
        form: 'float16': large weights are stored in half precision and computed with in float32, as fast as before.
            'int8': the weights of linear layers are stored in 8 bits, and their inputs rounded to 8 bits at run time.
    """
    if form == "int8":
        quantization.quantize_dynamic(path, path, op_types_to_quantize=["MatMul", "Gemm"])
    else:
        model = onnx.load(path)
        _store_in_half(model)
        onnx.save(model, path)
    return compare(graph, path)


def _store_in_half(model: onnx.ModelProto) -> None:
    """Store large weights as float16, each with a Cast behind it, which runtimes do once, while they load."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < SMALL_WEIGHT:
            continue
        name = weight.name
        half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight).astype(np.float16), f"{name}_float16")
        weight.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    for number, cast in enumerate(casts):
        model.graph.node.insert(number, cast)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the many words of torch's exporter, which are meant for its own developers."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "torch.export")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
