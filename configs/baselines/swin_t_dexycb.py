"""Swin-T in DF-Mamba's place on DexYCB.

All else as in dfmamba_dexycb.py. Untrained. The paper's figure, mm: 23.52, AUC 80.59 %.
"""

_base_ = ["../dfmamba_dexycb.py", "../_base_/backbones/swin_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
