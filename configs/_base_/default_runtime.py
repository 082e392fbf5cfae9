"""What every config shares: imports, hooks, logging, checkpoints, seed. Written to work_dirs/<config name> by default."""

default_scope = "mmpose"
runner_type = "ReproducibleRunner"
custom_imports = dict(imports=["dfmamba.register"], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # A config whose data set is judged by another protocol sets save_best to that metric's name.
    checkpoint=dict(
        type="DurableCheckpointHook",
        interval=1,
        max_keep_ckpts=3,
        save_best="interhand/MPJPE_rr_macro_all_mm",
        rule="less",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)

custom_hooks = [
    dict(type="SyncBuffersHook"),
    dict(type="FirstBatchCheckHook"),
    dict(type="SkippedSamplesHook"),
    dict(type="LossCurveHook"),
    dict(type="ProgressHook"),
]

env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0), dist_cfg=dict(backend="nccl")
)

vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="HandVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True, num_digits=6)
log_level = "INFO"
randomness = dict(seed=0)
load_from = None
resume = False
