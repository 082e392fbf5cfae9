"""ConvNeXt-T in DF-Mamba's place on DexYCB.

All else as in dfmamba_dexycb.py. Untrained. The paper has no figure for this pair.
"""

_base_ = ["../dfmamba_dexycb.py", "../_base_/backbones/convnext_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
