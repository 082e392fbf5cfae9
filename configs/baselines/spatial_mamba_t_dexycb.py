"""Spatial-Mamba-T in DF-Mamba's place on DexYCB.

All else as in dfmamba_dexycb.py. Untrained. The paper's figure, mm: 22.73, AUC 80.37 %.
"""

_base_ = ["../dfmamba_dexycb.py", "../_base_/backbones/spatial_mamba_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
