"""Hands in pictures: `HandPoseInferencer` and what it gives."""

from dfmamba.apis.hand_finder import HandFinder
from dfmamba.apis.hand_model import Camera
from dfmamba.apis.inferencer import HandPoseInferencer
from dfmamba.apis.pictures import Picture, read_pictures
from dfmamba.apis.results import Detection, HandJoints, PictureHands
from dfmamba.apis.smoothing import OneEuro

__all__ = [
    "Camera",
    "Detection",
    "HandFinder",
    "HandJoints",
    "HandPoseInferencer",
    "OneEuro",
    "Picture",
    "PictureHands",
    "read_pictures",
]
