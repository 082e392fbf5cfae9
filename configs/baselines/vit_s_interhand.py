"""ViT-S/16 in DF-Mamba's place on InterHand2.6M.

All else as in dfmamba_interhand.py. Untrained. The paper has no figure for this pair.
"""

_base_ = ["../dfmamba_interhand.py", "../_base_/backbones/vit_s.py"]
model = dict(backbone={{_base_.backbone_a2j}})
