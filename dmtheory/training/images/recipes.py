"""The three recipes. Constants are those of the sources; where not, it says so."""

from dmtheory.training.images.augmentation import (
    AlternatingFlips,
    IndependentFlips,
    Moves,
)
from dmtheory.training.images.networks import ResNet9, SmoothNet, WhitenedNet
from dmtheory.training.images.pixels import Pixels
from dmtheory.training.images.recipe import Falling, Group, Recipe, Triangle, View
from dmtheory.training.images.updates import Momentum, Muon
from dmtheory.training.losses import CrossEntropy

# The ResNet-9 of the datamodels example (MadryLab/datamodels, examples/cifar10), but a
# test image and its mirror image are averaged: the example mirrors the axis of
# channels there. Edges are filled with the channels' mean itself, not rounded.
FIDELITY = Recipe(
    name="fidelity",
    network=ResNet9(width=64),
    pixels=Pixels(mean=(125.307, 122.961, 113.8575), std=(51.5865, 50.847, 51.255)),
    moves=Moves(flips=IndependentFlips(), shift=2, cutout=4),
    views=(View(share=0.5), View(share=0.5, mirrored=True)),
    loss=CrossEntropy(label_smoothing=0.1),
    groups=(
        Group(
            part="all",
            update=Momentum(momentum=0.9),
            rate=0.5,
            shape=Triangle(peak=5 / 24),
            weight_decay=5e-4,
        ),
    ),
    epochs=24,
    batch_size=512,
    drop_last=True,
)

# The facts of airbench94_muon (KellerJordan/cifar10-airbench). Its losses are summed
# over a batch of 2,000; here they are averaged, so rates are 2,000 times its own and
# weight decays 2,000 times less. The whitening filters are of the first 5,000 training
# images and constants of the problem, like the channels' means: no weight moves them.
_BATCH = 2000
_NESTEROV = Momentum(momentum=0.85, nesterov=True)
_SHIFTS, _HEAD, _DECAY = 0.053, 0.67, 2e-6
THROUGHPUT = Recipe(
    name="throughput",
    network=WhitenedNet(width=64),
    pixels=Pixels(
        mean=(125.307, 122.961, 113.8575),
        std=(62.985, 62.0925, 66.708),
        padding="reflect",
    ),
    moves=Moves(flips=AlternatingFlips(), shift=2),
    views=tuple(
        View(share=share, mirrored=mirrored, shift=shift)
        for share, shift in ((0.25, 0), (0.125, -1), (0.125, 1))
        for mirrored in (False, True)
    ),
    loss=CrossEntropy(label_smoothing=0.2),
    groups=(
        Group(
            part="whitening",
            update=_NESTEROV,
            rate=_SHIFTS * _BATCH,
            shape=Falling(until=3 / 8),
            weight_decay=_DECAY / _SHIFTS,
        ),
        Group(
            part="norms",
            update=_NESTEROV,
            rate=_SHIFTS * _BATCH,
            shape=Falling(),
            weight_decay=_DECAY / _SHIFTS,
        ),
        Group(
            part="head",
            update=_NESTEROV,
            rate=_HEAD * _BATCH,
            shape=Falling(),
            weight_decay=_DECAY / _HEAD,
        ),
        Group(part="filters", update=Muon(momentum=0.6), rate=0.24, shape=Falling()),
    ),
    epochs=8,
    batch_size=_BATCH,
    drop_last=True,
)

# Our own, for derivatives: no batch statistics, nothing with a kink, no label
# smoothing (influence wants a likelihood), no random moves (an example has one loss),
# logits scaled down, every image visited.
SMOOTH = Recipe(
    name="smooth",
    network=SmoothNet(width=32, output_scale=0.25),
    pixels=Pixels(mean=(125.307, 122.961, 113.8575), std=(62.985, 62.0925, 66.708)),
    moves=Moves(),
    views=(View(),),
    loss=CrossEntropy(),
    groups=(
        Group(
            part="all",
            update=Momentum(momentum=0.9),
            rate=0.5,
            shape=Falling(),
            weight_decay=5e-4,
        ),
    ),
    epochs=16,
    batch_size=500,
    drop_last=False,
)
