"""The C runtime as a Python extension; everything else is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["shiftmcu/_native_build.py:ffibuilder"])
