"""Pack a trained and tested model: `tools/pack_model.py CONFIG CHECKPOINT RESULT.json --name NAME --out FOLDER`.

The folder gets the config in one file, the weights without the optimizer's state, an ONNX file, and a card with
checksums and the errors that `tools/test.py` has measured (RESULT.json). Without --out it becomes the model in the
box, which `HandPoseInferencer()` loads.
"""

import argparse
from pathlib import Path

from dfmamba.cli.command_line import add_common_arguments, add_config_options, launch


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file of the model")
    parser.add_argument("checkpoint", help="checkpoint file (.pth) of that config")
    parser.add_argument("result", type=Path, help="result.json of tools/test.py for this checkpoint")
    parser.add_argument("--name", required=True, help="name of the model, such as 'nano, SYNTHETIC hands'")
    parser.add_argument("--trained-on", required=True, help="what it has seen, such as '2400 SYNTHETIC images'")
    parser.add_argument(
        "--errors", nargs="+", default=[], metavar="METRIC", help="metrics for the card (default: the first one)"
    )
    parser.add_argument("--out", type=Path, help="folder (default: the model in the box)")
    add_config_options(parser, "model.test_cfg.flip_test=False")
    add_common_arguments(parser)
    return parser.parse_args()


def pack(args: argparse.Namespace) -> None:
    """Write the folder."""
    from datetime import date

    import torch

    from dfmamba.apis.mmpose_model import load_model
    from dfmamba.apis.packed_model import (
        CONFIG,
        EXPORTED,
        IN_THE_BOX,
        WEIGHTS,
        describe_card,
        metric_text,
        open_packed_model,
        write_card,
    )
    from dfmamba.engine.checkpoint_file import open_checkpoint, require_checkpoint
    from dfmamba.engine.config import load_config
    from dfmamba.errors import UserError
    from dfmamba.export.finder_graph import graph_of
    from dfmamba.export.onnx_file import write_onnx
    from dfmamba.io.json_files import read_json
    from dfmamba.io.outputs import check_output_folder

    folder = check_output_folder("--out", args.out or IN_THE_BOX)
    metrics = read_json(args.result)["metrics"]
    wanted = args.errors or list(metrics)[:1]
    if unknown := [name for name in wanted if name not in metrics]:
        raise UserError(f"--errors: expected metrics of {args.result}, such as {list(metrics)[:5]}, got {unknown}")
    content = open_checkpoint(require_checkpoint(args.checkpoint))
    folder.mkdir(parents=True, exist_ok=True)
    load_config(args.config, args.cfg_options).dump(folder / CONFIG)
    meta = {"dataset_meta": content["meta"]["dataset_meta"]}
    torch.save({"state_dict": content["state_dict"], "meta": meta}, folder / WEIGHTS)
    errors = {name: metric_text(name, metrics[name]) for name in wanted}
    facts = {"config": str(args.config), "torch": torch.__version__}
    day = date.today().isoformat()
    model, settings = load_model(folder / CONFIG, folder / WEIGHTS)
    graph = graph_of(model, settings.test_dataloader.dataset.pipeline).eval()
    card = {"name": args.name, "trained_on": args.trained_on, "errors": errors, "date": day}
    write_onnx(graph, folder / EXPORTED, card)
    write_card(folder, args.name, args.trained_on, errors, day, facts)
    print(f"{folder}: {describe_card(open_packed_model(folder).card)}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("pack_model", lambda: pack(args), args)


if __name__ == "__main__":
    main()
