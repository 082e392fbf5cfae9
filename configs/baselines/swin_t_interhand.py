"""Swin-T in DF-Mamba's place on InterHand2.6M.

All else as in dfmamba_interhand.py. Untrained. The paper's figure, mm: 8.15 single, 10.84 two, 9.59 all.
"""

_base_ = ["../dfmamba_interhand.py", "../_base_/backbones/swin_t.py"]
model = dict(backbone={{_base_.backbone_a2j}})
