"""Spatial-Mamba-T in DF-Mamba's place on AssemblyHands.

All else as in dfmamba_assemblyhands.py. Untrained. The paper's figure, mm: 21.44, AUC 81.88 %.
"""

_base_ = ["../dfmamba_assemblyhands.py", "../_base_/backbones/spatial_mamba_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
