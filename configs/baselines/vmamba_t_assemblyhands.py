"""VMamba-T in DF-Mamba's place on AssemblyHands.

All else as in dfmamba_assemblyhands.py. Untrained. The paper's figure, mm: 19.64, AUC 84.89 %.
"""

_base_ = ["../dfmamba_assemblyhands.py", "../_base_/backbones/vmamba_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
