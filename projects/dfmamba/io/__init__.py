"""Reading and writing files safely, once for everybody. Needs numpy, OpenCV, Pillow and PyYAML at most."""
