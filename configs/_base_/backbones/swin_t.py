# Swin-T with windows of 8, which fit maps of powers of two. A config that inherits from a DF-Mamba config writes
# model = dict(backbone={{_base_.NAME}}) with NAME backbone_a2j (256x256 px, levels of strides 8 to 32),
# backbone_a2j_depth (176x176 px, one channel) or backbone_detnet (128x128 px, levels of strides 4 to 32).

_swin_t = dict(_delete_=True, type="TimmBackbone", model="swin_tiny_patch4_window7_224", window_size=8, out_norm=True)
backbone_a2j = dict(**_swin_t, img_size=256)
backbone_a2j_depth = dict(**_swin_t, img_size=176, in_channels=1)
backbone_detnet = dict(**_swin_t, img_size=128, out_indices=(0, 1, 2, 3))
