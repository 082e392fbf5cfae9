"""ViT-S/16 in DF-Mamba's place on DexYCB.

All else as in dfmamba_dexycb.py. Untrained. The paper's figure, mm: 24.63, AUC 78.76 %.
"""

_base_ = ["../dfmamba_dexycb.py", "../_base_/backbones/vit_s.py"]
model = dict(backbone={{_base_.backbone_detnet}})
