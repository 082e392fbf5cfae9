"""VMamba-T in DF-Mamba's place on InterHand2.6M.

All else as in dfmamba_interhand.py. Untrained. The paper's figure, mm: 8.06 single, 10.97 two, 9.61 all.
"""

_base_ = ["../dfmamba_interhand.py", "../_base_/backbones/vmamba_t.py"]
model = dict(backbone={{_base_.backbone_a2j}})
