"""The DSSM operator; needs torch and nothing else."""

from .dssm import available_backends, deform_sample, dssm, selective_scan

__all__ = ["available_backends", "deform_sample", "dssm", "selective_scan"]
