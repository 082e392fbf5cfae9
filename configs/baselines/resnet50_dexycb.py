"""ResNet-50 in DF-Mamba's place on DexYCB.

All else as in dfmamba_dexycb.py. Untrained. The paper's figure, mm: 19.36, AUC 84.80 %.
"""

_base_ = ["../dfmamba_dexycb.py", "../_base_/backbones/resnet50.py"]
model = dict(backbone={{_base_.backbone_detnet}})
