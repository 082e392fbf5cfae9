"""Time backbones against each other on this machine, interleaved in one run.

Ratios mean something, milliseconds little. Shows for each backbone its parameters, its multiply-adds for one image, the
median time of one image with the quartiles, and the speed over that of the first one named. The weights are random.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date

import torch
from torch import nn

from dfmamba.models import DFMamba
from dfmamba.models.backbones import ARCHS
from dfmamba.models.cost import count_multiply_adds, count_parameters


def resnet50() -> nn.Module:
    """Return torchvision's ResNet-50 without its classifier, the usual backbone of hand pose estimators."""
    from torchvision.models import resnet50 as make

    model = make(weights=None)
    return nn.Sequential(*list(model.children())[:-2])


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "resnet50": resnet50,
    **{f"dfmamba_{arch}": (lambda arch=arch: DFMamba(arch)) for arch in ARCHS},
}


def parse_args() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", choices=list(BACKBONES), default=["resnet50", "dfmamba_tiny"],
                        help="what is compared (default: resnet50 dfmamba_tiny)")
    parser.add_argument("--size", type=int, default=256, help="side of the square image in px (default: 256)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="batch sizes (default: 1 8)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds; each times every backbone once (default: 7)")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    return parser.parse_args()


@torch.inference_mode()
def time_once(model: nn.Module, images: torch.Tensor) -> float:
    """Return the milliseconds for one image of one forward pass."""
    start = time.perf_counter()
    model(images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return (time.perf_counter() - start) * 1e3 / len(images)


def compare(models: dict[str, nn.Module], images: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the times of every model, taken in turns after a pass that warms up."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 1):
        for name, model in models.items():
            elapsed = time_once(model, images)
            if number > 0:
                times[name].append(elapsed)
    return times


def main() -> None:
    """Print a Markdown table."""
    args = parse_args()
    models = {name: BACKBONES[name]().eval().to(args.device) for name in args.backbones}
    cost = {name: (count_parameters(model) / 1e6, count_multiply_adds(model, (3, args.size, args.size)) / 1e9)
            for name, model in models.items()}
    print(f"{date.today()}, {platform.machine()}, torch {torch.__version__}, {args.device}, float32, forward only, "
          f"{args.size}x{args.size}, median of {args.rounds} interleaved rounds\n")
    print("| backbone | parameters M | multiply-adds G | threads | batch | ms an image (quartiles) | speed |")
    print("|---|---|---|---|---|---|---|")
    for threads in args.threads:
        torch.set_num_threads(threads)
        for batch in args.batch:
            images = torch.randn(batch, 3, args.size, args.size, device=args.device)
            times = compare(models, images, args.rounds)
            reference = statistics.median(times[args.backbones[0]])
            for name in args.backbones:
                low, median, high = statistics.quantiles(times[name], n=4)
                print(f"| {name} | {cost[name][0]:.2f} | {cost[name][1]:.2f} | {threads} | {batch} "
                      f"| {median:.1f} ({low:.1f}-{high:.1f}) | {reference / median:.2f} x |", flush=True)


if __name__ == "__main__":
    main()
