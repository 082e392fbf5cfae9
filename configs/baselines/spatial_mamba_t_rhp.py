"""Spatial-Mamba-T in DF-Mamba's place on RHP.

All else as in dfmamba_rhp.py. Untrained. The paper's figure, mm: 17.96.
"""

_base_ = ["../dfmamba_rhp.py", "../_base_/backbones/spatial_mamba_t.py"]
model = dict(backbone={{_base_.backbone_a2j}})
