"""The part of the build that pyproject.toml cannot say: the C kernel, for three kinds of processors.

Each is optional: without a compiler, or where the compiler does not know a processor, the build goes on and torch does the work.
"""

from __future__ import annotations

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def kernel(kind: str, *flags: str) -> Extension:
    """The kernel compiled with ``flags``; kernel.py takes the best that the machine can run."""
    return Extension(
        f"gan3d.models.fourier._{kind}",
        ["gan3d/models/fourier/kernel.c"],
        extra_compile_args=["-O3", "-std=gnu11", "-fno-math-errno", "-fopenmp", "-Wno-psabi", *flags],
        extra_link_args=["-fopenmp"],
        optional=True,
    )


class InTurn(build_ext):
    """Never in parallel: all are compiled from one source, so to one object file, and one would get the instructions of another."""

    def finalize_options(self) -> None:
        """Overrules ``--parallel``."""
        super().finalize_options()
        self.parallel = None


setup(
    cmdclass={"build_ext": InTurn},
    ext_modules=[
        kernel("avx512", "-march=x86-64-v4", "-mprefer-vector-width=256"),
        kernel("avx2", "-march=x86-64-v3"),
        kernel("generic"),
    ],
)
