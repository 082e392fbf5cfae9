"""ResNet-50 in DF-Mamba's place on AssemblyHands.

All else as in dfmamba_assemblyhands.py. Untrained. The paper's figure, mm: 19.35, AUC 85.24 %.
"""

_base_ = ["../dfmamba_assemblyhands.py", "../_base_/backbones/resnet50.py"]
model = dict(backbone={{_base_.backbone_detnet}})
