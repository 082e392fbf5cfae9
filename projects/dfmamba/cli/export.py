"""Write a trained model as a file for other runtimes: `tools/export.py CONFIG CHECKPOINT --out model.onnx`.

By the ending of --out: `.onnx`, for onnxruntime and `HandPoseInferencer`, with a batch of any size; `.pt2`, a program
of torch.export; with --compiled, a `.pt2` package of AOTInductor for this kind of machine. The ONNX file is held
against PyTorch before the tool ends, and the differences are printed.
"""

import argparse
from pathlib import Path

from dfmamba.cli.command_line import add_common_arguments, add_config_options, launch

SUFFIXES = (".onnx", ".pt2")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file of the model, or a folder of tools/pack_model.py")
    parser.add_argument("checkpoint", nargs="?", help="checkpoint file (.pth); a packed model has its own")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .onnx or .pt2")
    parser.add_argument("--name", help="name of the model, for the metadata (default: that of the card or the config)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--float16",
        action="store_true",
        help="ONNX: weights in half precision, computed with in float32 (default: off)",
    )
    size.add_argument("--int8", action="store_true", help="ONNX: linear layers in 8 bits (default: off)")
    parser.add_argument("--compiled", action="store_true", help=".pt2: compile with AOTInductor (default: off)")
    add_config_options(parser, "model.test_cfg.flip_test=False")
    add_common_arguments(parser)
    args = parser.parse_args()
    if args.out.suffix not in SUFFIXES:
        parser.error(f"--out: expected a file ending in {' or '.join(SUFFIXES)}, got {args.out}")
    if args.compiled and args.out.suffix != ".pt2":
        parser.error("--compiled: expected --out with the ending .pt2")
    if (args.float16 or args.int8) and args.out.suffix != ".onnx":
        parser.error("--float16, --int8: expected --out with the ending .onnx")
    return args


def export(args: argparse.Namespace) -> None:
    """Write the file and say how exact it is."""
    from dfmamba.apis.mmpose_model import load_model
    from dfmamba.apis.packed_model import open_packed_model
    from dfmamba.errors import UserError
    from dfmamba.export.finder_graph import graph_of
    from dfmamba.io.outputs import check_output_file

    check_output_file("--out", args.out)
    card = {"name": args.name or Path(args.config).stem}
    config, checkpoint = args.config, args.checkpoint
    if Path(config).is_dir():
        packed = open_packed_model(Path(config))
        config, checkpoint = packed.config, packed.weights
        card = {key: value for key, value in packed.card.items() if key != "sha256"}
        card["name"] = args.name or card["name"]
    elif checkpoint is None:
        raise UserError("CHECKPOINT: expected the checkpoint file of the config, got none")
    model, settings = load_model(config, checkpoint, args.cfg_options)
    graph = graph_of(model, settings.test_dataloader.dataset.pipeline).eval()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.out.suffix == ".pt2":
        from dfmamba.export.torch_program import write_program

        errors = write_program(graph, args.out, compiled=args.compiled)
    else:
        from dfmamba.export.onnx_file import make_smaller, write_onnx

        errors = write_onnx(graph, args.out, card)
        if args.float16 or args.int8:
            errors = make_smaller(graph, args.out, "int8" if args.int8 else "float16")
    said = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; largest difference from PyTorch, relative: {said}")


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("export", lambda: export(args), args)


if __name__ == "__main__":
    main()
