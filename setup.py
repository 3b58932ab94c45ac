"""The part of the build that pyproject.toml cannot say: the C kernel, for three kinds of processors.

Each is optional: without a compiler, or where the compiler does not know a processor, the build goes on and torch does the work.
"""

from __future__ import annotations

from setuptools import Extension, setup


def kernel(kind: str, *flags: str) -> Extension:
    """The kernel compiled with ``flags``; kernel.py takes the best that the machine can run."""
    return Extension(
        f"gan3d.models.fourier._{kind}",
        ["gan3d/models/fourier/kernel.c"],
        extra_compile_args=["-O3", "-std=gnu11", "-fno-math-errno", "-fopenmp", "-Wno-psabi", *flags],
        extra_link_args=["-fopenmp"],
        optional=True,
    )


setup(
    ext_modules=[
        kernel("avx512", "-march=x86-64-v4", "-mprefer-vector-width=256"),
        kernel("avx2", "-march=x86-64-v3"),
        kernel("generic"),
    ]
)
