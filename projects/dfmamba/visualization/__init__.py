"""Pictures: overlays, contact sheets, curves and 3D views. All is drawn off screen (OpenCV, matplotlib's Agg)."""
