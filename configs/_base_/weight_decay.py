"""What weight decay leaves alone, for `optim_wrapper.paramwise_cfg`: vectors, biases, norms, and what `no_weight_decay` of
dfmamba.models.layers.weight_decay names: decays and skips of the scans, positions and their embeddings (timm's, too).

mmengine takes `custom_keys` for parts of names. A test holds them against `no_weight_decay` for every config that decays.
"""

no_weight_decay = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    flat_decay_mult=0.0,
    custom_keys={
        name: dict(decay_mult=0.0)
        for name in (
            "mixer.A_log",
            "mixer.D",
            "mixer.dt_bias",
            "head.queries",
            "head.anchors",
            "level_embedding",
            "pos_embed",
            "cls_token",
            "relative_position_bias_table",
        )
    },
)
