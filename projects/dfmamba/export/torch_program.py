"""Write an estimator as a program of torch.export, or compiled ahead of time by AOTInductor, and hold it against eager.

Both call the native operators of this package by name: `import dfmamba.ops` comes before they are loaded.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dfmamba.errors import UserError
from dfmamba.export.graph import ImageGraph, largest_differences, random_crops
from dfmamba.ops import available_backends


def write_program(graph: ImageGraph, path: Path, compiled: bool = False) -> dict[str, float]:
    """Write a `.pt2` file with a dynamic batch.

    Args:
        graph: The estimator.
        path: Of the file. A program is read by `torch.export.load`, with the facts of `dfmamba.apis.exported_model` as
            the extra file 'dfmamba.json', 'dfmamba_finder.json' of a finder; a compiled one by
            `torch._inductor.aoti_load_package`.
        compiled: Compile it for this kind of machine; needs a C++ compiler.

    Returns:
        The largest difference of each output from eager mode, see `largest_differences`.

    Raises:
        UserError: The native operators are not there; the reference would be unrolled, token by token.
    """
    device = graph.mean.device.type
    if (reason := available_backends()[device]) is not None:
        raise UserError(f"torch.export: expected the native operators, whose calls it writes down: {reason}")
    crops = random_crops(graph, 2)
    with torch.no_grad():
        program = torch.export.export(
            graph, (crops,), dynamic_shapes={"crops": {0: torch.export.Dim("batch", min=1, max=1024)}}
        )
        if compiled:
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))
            run: Callable[[Tensor], dict[str, Tensor]] = torch._inductor.aoti_load_package(str(path))
        else:
            facts = graph.facts({})
            torch.export.save(program, path, extra_files={f"{facts.key}.json": facts.to_json()})
            run = torch.export.load(path).module()
        return largest_differences(graph, lambda batch: {name: out.numpy() for name, out in run(batch).items()})
