# Spatial-Mamba-T. A config that inherits from a DF-Mamba config writes model = dict(backbone={{_base_.NAME}}) with NAME
# backbone_a2j (256x256 px, levels of strides 8 to 32), backbone_a2j_depth (176x176 px, one channel) or backbone_detnet
# (128x128 px, levels of strides 4 to 32).

backbone_a2j = dict(_delete_=True, type="SpatialMamba", arch="tiny")
backbone_a2j_depth = dict(_delete_=True, type="SpatialMamba", arch="tiny", in_channels=1)
backbone_detnet = dict(_delete_=True, type="SpatialMamba", arch="tiny", out_indices=(0, 1, 2, 3))
