"""Spatial-Mamba-T in DF-Mamba's place on NYU.

All else as in dfmamba_nyu.py. Untrained. The paper's figure, mm: 8.78.
"""

_base_ = ["../dfmamba_nyu.py", "../_base_/backbones/spatial_mamba_t.py"]
model = dict(backbone={{_base_.backbone_a2j_depth}})
