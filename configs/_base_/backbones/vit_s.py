# ViT-S/16 with ViTDet's simple pyramid. A config that inherits from a DF-Mamba config writes
# model = dict(backbone={{_base_.NAME}}) with NAME backbone_a2j (256x256 px), backbone_a2j_depth (176x176 px, one
# channel) or backbone_detnet (128x128 px); levels of strides 8, 16 and 32 for all of them.

_vit_s = dict(_delete_=True, type="TimmBackbone", model="vit_small_patch16_224", pyramid=True, out_norm=True)
backbone_a2j = dict(**_vit_s, img_size=256)
backbone_a2j_depth = dict(**_vit_s, img_size=176, in_channels=1)
backbone_detnet = dict(**_vit_s, img_size=128)
