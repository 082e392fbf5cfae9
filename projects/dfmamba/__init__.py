"""DF-Mamba: deformable state-space modeling for 3D hand pose estimation."""

__version__ = "0.1.0"
