"""VMamba-T in DF-Mamba's place on DexYCB.

All else as in dfmamba_dexycb.py. Untrained. The paper's figure, mm: 19.84, AUC 84.45 %.
"""

_base_ = ["../dfmamba_dexycb.py", "../_base_/backbones/vmamba_t.py"]
model = dict(backbone={{_base_.backbone_detnet}})
