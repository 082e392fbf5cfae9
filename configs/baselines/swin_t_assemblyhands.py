"""Swin-T in DF-Mamba's place on AssemblyHands.

All else as in dfmamba_assemblyhands.py. Untrained. The paper's figure, mm: 19.88, AUC 84.03 %.
"""

_base_ = ["../dfmamba_assemblyhands.py", "../_base_/backbones/swin_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
