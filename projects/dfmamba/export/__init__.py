"""Trained models as files for other runtimes: ONNX, and torch's own exported programs."""
