"""ViT-S/16 in DF-Mamba's place on NYU.

All else as in dfmamba_nyu.py. Untrained. The paper has no figure for this pair.
"""

_base_ = ["../dfmamba_nyu.py", "../_base_/backbones/vit_s.py"]
model = dict(backbone={{_base_.backbone_a2j_depth}})
