"""ConvNeXt-T in DF-Mamba's place on RHP.

All else as in dfmamba_rhp.py. Untrained. The paper has no figure for this pair.
"""

_base_ = ["../dfmamba_rhp.py", "../_base_/backbones/convnext_t.py"]
model = dict(backbone={{_base_.backbone_a2j}})
