"""ConvNeXt-T in DF-Mamba's place on AssemblyHands.

All else as in dfmamba_assemblyhands.py. Untrained. The paper has no figure for this pair.
"""

_base_ = ["../dfmamba_assemblyhands.py", "../_base_/backbones/convnext_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
