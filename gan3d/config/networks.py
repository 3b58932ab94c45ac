"""The two networks of a trial, as they are asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gan3d.config.settings import Positive, Settings

Filters = Annotated[int, Field(ge=1, le=1024)]
Kernel = Literal[3, 5, 7]
Stride = Annotated[int, Field(ge=1, le=4)]
Normalisation = Literal["batch", "batch_per_plane", "group"]
DiscriminatorNormalisation = Literal["batch", "batch_per_plane", "group", "spectral", "none"]


class Generator(Settings):
    """The seed's generator: dense, three convolution blocks with two upsamplings, one output convolution."""

    filters: tuple[Filters, Filters, Filters] = (64, 6, 6)
    """Filters of the three convolution blocks. The seed: 64, 6, 6; its multiples-of-16 variant: 64, 16, 16."""
    noise_dim: Annotated[int, Field(ge=1, le=4096)] = 200
    """Length of the noise vector, conditions not counted."""
    kernel: Literal["seed", 3, 5, 7] = "seed"
    """Kernel edge of the three blocks (odd, so that it has a centre), or `seed`: 6x6x8, 6x5x8, 3x3x8."""
    normalisation: Normalisation = "batch"
    """`batch` per channel, `batch_per_plane` per depth plane (what the 2018 code did), `group` (same on any world size)."""
    conditioning: Literal["multiply", "concatenate"] = "multiply"
    """Incident energy multiplied into the noise (the seed) or concatenated to it."""
    output: Literal["relu", "rectified_normal"] = "relu"
    """`relu` of a last convolution (the seed), or every cell a rectified normal that starts from the training showers' moments."""
    cell_noise: bool = False
    """A number of the noise for each cell, beside what the network makes of `noise_dim` others: cells fluctuate by themselves too, as real
    ones do. Takes `output: rectified_normal`."""
    impact: Literal["network", "fitted"] = "network"
    """Who decides where within a cell a shower's axis lies, and what that makes of every cell: the `network` (the seed), or the last two
    numbers of `noise_dim`, by what is `fitted` to training showers. Takes `output: rectified_normal`, square cells and no polar angle."""
    residual_blocks: Annotated[int, Field(ge=0, le=8)] = 0
    """Residual blocks (arXiv:1512.03385) of two 3x3x3 convolutions behind block 3, with its filters; the seed: 0."""
    layer_energies: Literal["network", "fitted"] = "network"
    """Who decides how much energy a layer receives: the `network`, by its cells' sum (the seed), or a distribution `fitted` to training
    showers, to which each layer's cells are scaled. It takes the first numbers of the noise, one more than there are layers."""
    cell_spectrum: Literal["network", "fitted"] = "network"
    """Who decides how many cells hold how much: the `network` (the seed), or a curve of a cell's energy as well, which is `fitted` to
    training showers and then trained on. Takes `output: rectified_normal` and `layer_energies: fitted`."""
    learning_rate: Positive = 1e-3
    """Learning rate at the reference batch, before `learning_rate_rule`."""


class Discriminator(Settings):
    """The seed's discriminator: four convolution blocks, average pooling, linear heads."""

    blocks: Annotated[int, Field(ge=1, le=4)] = 4
    """Convolution blocks there are; filters and strides of the others act on nothing. The seed: 4."""
    filters: tuple[Filters, Filters, Filters, Filters] = (32, 8, 8, 8)
    """Filters of the convolution blocks. The seed: 32, 8, 8, 8; its multiples-of-16 variant: 32, 16, 16, 16."""
    kernel: Kernel = 5
    """Kernel edge of all blocks (odd). The seed: 5."""
    strides: tuple[Stride, Stride, Stride, Stride] = (1, 1, 1, 1)
    """Cells between two places of each block's convolution. The seed: 1; a 2 makes all later blocks eight times cheaper."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout probability after every block."""
    normalisation: DiscriminatorNormalisation = "batch"
    """As for the generator; or `spectral`, of the convolutions' weights instead of what they give (arXiv:1802.05957), or `none`."""
    residual: bool = False
    """Add a block's input, by a convolution of one cell, to what blocks 2 and 3 make (arXiv:1512.03385)."""
    minibatch_statistics: bool = False
    """Tell the heads how much the showers of a worker's batch differ (arXiv:1710.10196), so that showers all alike are found out."""
    learning_rate: Positive = 1e-3
    """Learning rate at the reference batch, before `learning_rate_rule`."""
