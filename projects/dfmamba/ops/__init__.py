"""The DSSM operator; needs torch and nothing else."""

from .backends import available_backends, use_backend
from .dssm import deform_sample, dssm, selective_scan

__all__ = ["available_backends", "deform_sample", "dssm", "selective_scan", "use_backend"]
