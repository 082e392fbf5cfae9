"""DF-Mamba of the paper's size with A2J-Transformer's head on your own data: for thousands of pictures, and a GPU.

Expected data: train.json and test.json of docs/own_data.md in data/own_data; elsewhere with --cfg-options data_root=...
It starts without weights; --cfg-options load_from=... names a checkpoint of dfmamba_interhand.py to begin with. Nobody has
trained it: rate, batch and epochs are those of InterHand2.6M.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/own_data.py",
    "../_base_/models/dfmamba_a2j.py",
    "../_base_/schedules/a2j_42e.py",
]

model = dict(head=dict(decoder={{_base_.codec}}))
default_hooks = dict(checkpoint=dict(save_best=None))
