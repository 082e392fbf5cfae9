"""ResNet-50 in DF-Mamba's place on InterHand2.6M.

All else as in dfmamba_interhand.py. Untrained. The paper's figure, mm: 8.10 single, 10.96 two, 9.63 all.
"""

_base_ = ["../dfmamba_interhand.py", "../_base_/backbones/resnet50.py"]
model = dict(backbone={{_base_.backbone_a2j}})
