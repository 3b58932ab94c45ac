from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gan3d.models.fourier import kernel as module
from gan3d.models.fourier.kernel import LANES, Axes, Axis, Kernel, num_frequencies

SOURCE = Path(module.__file__).with_name("kernel.c")
pytestmark = pytest.mark.skipif(Kernel.here() is None, reason="no kernel was compiled here: gan3d was installed without a C compiler")

AXES: Axes = (Axis(5, 0, 7), Axis(4, -1, 5), Axis(6, 0, 9))


def the_kernel() -> Kernel:
    kernel = Kernel.here()
    assert kernel is not None
    return kernel


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def dense_spectra(values: torch.Tensor, axes: Axes) -> torch.Tensor:
    """By torch's FFT: (B, F, C) complex, of values put at their positions."""
    full = torch.zeros(values.shape[0], *(axis.period for axis in axes), values.shape[-1], dtype=torch.float64)
    places = [torch.arange(axis.low, axis.low + axis.count) % axis.period for axis in axes]
    full[:, places[0][:, None, None], places[1][:, None], places[2]] = values.double()
    return torch.fft.rfftn(full, dim=(1, 2, 3)).flatten(1, 3)


def as_complex(spectra: torch.Tensor) -> torch.Tensor:
    """(B, F, blocks, 2, LANES) to (B, F, P)."""
    parts = spectra.double()
    return torch.complex(parts[..., 0, :], parts[..., 1, :]).flatten(2)


@pytest.mark.parametrize("channels", [1, 7, 8, 19])
def test_spectra_are_fourier_transforms_and_lanes_without_channels_are_zero(channels: int) -> None:
    values = random(2, 5, 4, 6, channels)
    found = as_complex(the_kernel().spectra(values, AXES))
    torch.testing.assert_close(found[..., :channels], dense_spectra(values, AXES), atol=2e-5, rtol=1e-5)
    assert not found[..., channels:].any()


@pytest.mark.parametrize("channels", [1, 7, 8, 19])
def test_values_undo_spectra_and_add_the_bias(channels: int) -> None:
    values, bias = random(3, 5, 4, 6, channels), random(channels)
    found = the_kernel().values(the_kernel().spectra(values, AXES), AXES, channels, bias)
    torch.testing.assert_close(found, values + bias, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("conjugate", [False, True])
@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(1, 1, 8), (5, 11, 16), (8, 8, 8)])
def test_products_are_matrix_products_at_each_frequency(batch: int, inputs: int, outputs: int, conjugate: bool) -> None:
    showers, weights = random(batch, 5, 4, 6, inputs), random(1, 5, 4, 6, inputs * outputs)
    left, right = the_kernel().spectra(showers, AXES), the_kernel().spectra(weights, AXES)
    matrices = as_complex(right)[0].unflatten(1, (inputs, outputs))
    expected = torch.einsum("bfk,fkm->bfm", as_complex(left)[..., :inputs], matrices.conj() if conjugate else matrices)
    found = as_complex(the_kernel().products(left, right, inputs, conjugate=conjugate))
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-5)


@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(1, 1, 8), (5, 11, 16), (9, 8, 8)])
def test_correlations_are_sums_over_showers(batch: int, inputs: int, outputs: int) -> None:
    left, right = (the_kernel().spectra(random(batch, 5, 4, 6, channels), AXES) for channels in (inputs, outputs))
    expected = torch.einsum("bfm,bfk->fkm", as_complex(right), as_complex(left)[..., :inputs].conj()).flatten(1)[None]
    found = as_complex(the_kernel().correlations(left, right, inputs))
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-5)


def test_the_constants_are_those_of_the_source() -> None:
    text = SOURCE.read_text()
    for name, value in (
        ("LANES", LANES),
        ("LONGEST_PERIOD", module.LONGEST_PERIOD),
        ("OUT_OF_MEMORY", module.OUT_OF_MEMORY),
        ("INTERFACE", module.INTERFACE),
    ):
        assert f"{name} = {value}," in text


def test_the_longest_period_works() -> None:
    axes = (Axis(1, 0, 1), Axis(1, 0, 1), Axis(200, 0, module.LONGEST_PERIOD))
    values = random(1, 1, 1, 200, 8)
    assert the_kernel().spectra(values, axes).shape[1] == num_frequencies(axes) == 128
    torch.testing.assert_close(the_kernel().values(the_kernel().spectra(values, axes), axes, 8), values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("capability", "build"), [("default", "_generic"), ("avx2", "_avx2")])
def test_every_build_computes_the_same(capability: str, build: str) -> None:
    """In a process of its own, whose processor is said to be a lesser one."""
    if build == "_avx2" and torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this processor has no AVX2")
    script = (
        "import sys, torch, pickle\n"
        "from gan3d.models.fourier.kernel import Axis, Kernel\n"
        "kernel = Kernel.here()\n"
        "values = torch.rand(2, 5, 4, 6, 11, generator=torch.Generator().manual_seed(1))\n"
        "axes = (Axis(5, 0, 7), Axis(4, -1, 5), Axis(6, 0, 9))\n"
        "sys.stdout.buffer.write(pickle.dumps((kernel.name, kernel.spectra(values, axes).tolist())))\n"
    )
    environment = {"ATEN_CPU_CAPABILITY": capability, "PATH": "/usr/bin:/bin"}
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=environment).stdout
    name, found = pickle.loads(output)
    assert name.startswith(build)
    ours = the_kernel().spectra(random(2, 5, 4, 6, 11), AXES)
    torch.testing.assert_close(torch.tensor(found), ours, atol=2e-5, rtol=1e-5)


#: Spectra and workspaces of 69 MB each; first there is room for neither, then for one.
SHORT_OF_MEMORY = """
import resource, torch
from gan3d.models.fourier.kernel import Axis, Kernel
torch.set_num_threads(1)
kernel, axes = Kernel.here(), (Axis(128, 0, 129), Axis(1, 0, 129), Axis(128, 0, 129))
values = torch.rand(1, 128, 1, 128, 1)
spectra = kernel.spectra(values, axes)
for megabytes, call in ((30, lambda: kernel.values(spectra, axes, 1)), (100, lambda: kernel.spectra(values, axes))):
    in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + megabytes * 2**20, resource.RLIM_INFINITY))
    try:
        call()
    except MemoryError as problem:
        print(problem)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to know how much memory is in use")
def test_too_little_memory_for_a_workspace_is_said() -> None:
    output = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], capture_output=True, check=True, text=True).stdout
    assert output.splitlines() == ["a convolution found no memory for its transforms"] * 2


def kernel_among_the_builds_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel | None:
    """What is found where this folder holds the builds."""
    monkeypatch.setattr(module, "__file__", str(folder / "kernel.py"))
    Kernel.here.cache_clear()
    try:
        return Kernel.here()
    finally:
        Kernel.here.cache_clear()


@pytest.mark.parametrize("content", [b"", b"not a library"], ids=["empty", "no library"])
def test_a_build_that_cannot_be_loaded_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    broken = tmp_path / f"_generic{module.EXTENSION_SUFFIXES[0]}"
    broken.write_bytes(content)
    assert kernel_among_the_builds_of(tmp_path, monkeypatch) is None
    assert broken.name in caplog.text


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_build_of_another_source_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "other.c"
    source.write_text(SOURCE.read_text().replace(f"INTERFACE = {module.INTERFACE},", f"INTERFACE = {module.INTERFACE + 1},"))
    other = tmp_path / f"_generic{module.EXTENSION_SUFFIXES[0]}"
    subprocess.run(["cc", "-std=gnu11", "-fopenmp", "-w", "-shared", "-fPIC", str(source), "-o", str(other), "-lm"], check=True)
    assert kernel_among_the_builds_of(tmp_path, monkeypatch) is None
    assert "compiled from another source" in caplog.text


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_source_compiles_without_a_warning_and_is_clean_under_sanitizers(tmp_path: Path) -> None:
    main = tmp_path / "main.c"
    main.write_text(
        f'#include "{SOURCE}"\n'
        """
        int main(void) {
            Axis axes[3] = {{5, 0, 7}, {3, -1, 5}, {6, 0, 9}};
            enum { BATCH = 3, IN = 11, USED = 13, OUT = 16, PLACES = 5 * 3 * 6, FREQUENCIES = 7 * 5 * 5 };
            float *x = calloc(BATCH * PLACES * IN, sizeof(float)), *w = calloc(PLACES * IN * OUT, sizeof(float));
            float *xs = malloc(sizeof(float) * BATCH * FREQUENCIES * 2 * 16), *ws = malloc(sizeof(float) * FREQUENCIES * 2 * IN * OUT);
            float *ys = malloc(sizeof(float) * BATCH * FREQUENCIES * 2 * OUT), *y = malloc(sizeof(float) * BATCH * PLACES * USED);
            float *bias = calloc(USED, sizeof(float));
            int bad = gan3d_spectra(x, BATCH, IN, axes, xs, 2) | gan3d_spectra(w, 1, IN * OUT, axes, ws, 2);
            gan3d_products(xs, ws, BATCH, FREQUENCIES, IN, OUT / LANES, 1, ys, 2);
            bad |= gan3d_values(ys, BATCH, USED, axes, bias, y, 2);
            gan3d_correlations(xs, ys, BATCH, FREQUENCIES, IN, OUT / LANES, ws, 2);
            free(x); free(w); free(xs); free(ws); free(ys); free(y); free(bias);
            return bad;
        }
        """
    )
    program = tmp_path / "program"
    flags = [
        "-O1",
        "-g",
        "-std=gnu11",
        "-fopenmp",
        "-Wno-psabi",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ]
    subprocess.run(["cc", *flags, str(main), "-o", str(program), "-lm"], check=True)
    done = subprocess.run([str(program)], check=False, env={"ASAN_OPTIONS": "detect_leaks=0"}, timeout=60)
    assert done.returncode == 0
