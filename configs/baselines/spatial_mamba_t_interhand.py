"""Spatial-Mamba-T in DF-Mamba's place on InterHand2.6M.

All else as in dfmamba_interhand.py. Untrained. The paper's figure, mm: 8.44 single, 10.93 two, 9.77 all.
"""

_base_ = ["../dfmamba_interhand.py", "../_base_/backbones/spatial_mamba_t.py"]
model = dict(backbone={{_base_.backbone_a2j}})
