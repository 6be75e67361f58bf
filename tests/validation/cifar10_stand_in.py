"""The suite's problems on digits: the same protocol, a hundred times faster."""

from dataclasses import replace
from pathlib import Path

from dmtheory.data.digits import digits
from dmtheory.problems.network import Network
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD
from validation.cifar10.sizes import SHORT_REHEARSAL, Sizes
from validation.cifar10.subjects import Subjects, fewer_targets, subjects_of
from validation.cifar10.suite import Suite

SIZES = replace(
    SHORT_REHEARSAL,
    n_train=60,
    n_targets=6,
    n_groups=6,
    block=16,
    pairs_a_group=(3.0, 6.0),
    images=(48, 96),
    stage_seconds=20.0,
    # So long that they never begin.
    analysis_seconds=1000.0,
    reserve_seconds=5.0,
)


def stand_in(sizes: Sizes = SIZES) -> Subjects:
    assert sizes.n_train is not None and sizes.n_image_targets is not None
    data = digits(n_train=sizes.n_train, n_targets=sizes.n_image_targets)
    steps = SGD(epochs=3, batch_size=20, learning_rate=0.2, weight_decay=1e-2)
    module = MLP((64, 4, 10))
    weighted = Network(
        make_module=module, data=fewer_targets(data, sizes.n_targets), training=steps
    )
    fast = replace(steps, step_policy="proportional")
    return subjects_of(
        weighted,
        Network(make_module=module, data=data, training=fast),
        data,
        sizes,
        network=weighted,
        title="Digits",
        words="A stand-in.",
    )


def suite_in(folder: Path, report=lambda *_: None, **options) -> Suite:
    return Suite(
        subjects=stand_in(),
        sizes=SIZES,
        folder=folder,
        seed=options.get("seed", 0),
        report=report,
    )
