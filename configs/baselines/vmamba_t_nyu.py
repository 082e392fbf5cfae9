"""VMamba-T in DF-Mamba's place on NYU.

All else as in dfmamba_nyu.py. Untrained. The paper's figure, mm: 8.62.
"""

_base_ = ["../dfmamba_nyu.py", "../_base_/backbones/vmamba_t.py"]
model = dict(backbone={{_base_.backbone_a2j_depth}})
