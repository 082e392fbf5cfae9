"""The published protocols: joints in mm and a mask of what counts -> named numbers and curves. Pure numpy.

Joints are (N, J, 3) in mm, in canonical order (`dfmamba.skeleton`; NYU: its own 14); `valid` (N, J) says which joints
of the truth are annotated. docs/protocols.md has the definitions side by side, with their sources.

A name of a number says alignment (abs: none; rr: root-relative; PA: Procrustes; bonescaled: a bone of the truth gives
the scale), average (macro: mean over joints of per-joint means; micro: over all valid joints), range and unit. NaN
predictions make means NaN and are never correct. Every protocol also gives the error of the best constant pose.
"""

from collections.abc import Mapping
from types import MappingProxyType

from dfmamba.evaluation.protocols.assemblyhands import PROTOCOL as ASSEMBLYHANDS
from dfmamba.evaluation.protocols.assemblyhands import score_assemblyhands
from dfmamba.evaluation.protocols.dexycb import PROTOCOL as DEXYCB
from dfmamba.evaluation.protocols.dexycb import score_dexycb
from dfmamba.evaluation.protocols.interhand26m import PROTOCOL as INTERHAND26M
from dfmamba.evaluation.protocols.interhand26m import score_interhand26m
from dfmamba.evaluation.protocols.nyu import PROTOCOL as NYU
from dfmamba.evaluation.protocols.nyu import score_nyu
from dfmamba.evaluation.protocols.rhp import PROTOCOL as RHP
from dfmamba.evaluation.protocols.rhp import score_rhp
from dfmamba.evaluation.scores import Protocol

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "interhand26m": INTERHAND26M,
        "rhp": RHP,
        "nyu": NYU,
        "dexycb": DEXYCB,
        "assemblyhands": ASSEMBLYHANDS,
    }
)
__all__ = ["PROTOCOLS", "score_assemblyhands", "score_dexycb", "score_interhand26m", "score_nyu", "score_rhp"]
