"""Swin-T in DF-Mamba's place on RHP.

All else as in dfmamba_rhp.py. Untrained. The paper's figure, mm: 17.65.
"""

_base_ = ["../dfmamba_rhp.py", "../_base_/backbones/swin_t.py"]
model = dict(backbone={{_base_.backbone_a2j}})
