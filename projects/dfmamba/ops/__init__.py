"""The DSSM operator, and that of deformable attention; needs torch and nothing else."""

from .attention import multi_scale_deformable_attention
from .backends import available_backends, use_backend
from .dssm import deform_sample, dssm, selective_scan

__all__ = [
    "available_backends",
    "deform_sample",
    "dssm",
    "multi_scale_deformable_attention",
    "selective_scan",
    "use_backend",
]
