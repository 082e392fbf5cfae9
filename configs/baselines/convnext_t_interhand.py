"""ConvNeXt-T in DF-Mamba's place on InterHand2.6M.

All else as in dfmamba_interhand.py. Untrained. The paper has no figure for this pair.
"""

_base_ = ["../dfmamba_interhand.py", "../_base_/backbones/convnext_t.py"]
model = dict(backbone={{_base_.backbone_a2j}})
