"""Build script; all metadata stands in pyproject.toml. The native operators will be declared here."""

from setuptools import setup

setup()
