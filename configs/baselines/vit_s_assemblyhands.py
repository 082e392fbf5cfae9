"""ViT-S/16 in DF-Mamba's place on AssemblyHands.

All else as in dfmamba_assemblyhands.py. Untrained. The paper's figure, mm: 23.11, AUC 79.29 %.
"""

_base_ = ["../dfmamba_assemblyhands.py", "../_base_/backbones/vit_s.py"]
model = dict(backbone={{_base_.backbone_detnet}})
