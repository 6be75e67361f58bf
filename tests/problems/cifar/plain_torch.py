"""The recipes in plain torch: one image moved at a time, batches without who is out."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dmtheory.data import Dataset
from dmtheory.designs.seeds import Purpose, model_seeds
from dmtheory.problems import FIDELITY, SGD, Cifar, Recipe
from dmtheory.problems.outputs import margin
from dmtheory.training.order import visits
from dmtheory.training.randomness import example_keys, keyed_uniforms

QUINTIC = (3.4445, -4.7750, 2.0315)


def conv_norm(n_in: int, n_out: int, size: int, stride: int, padding: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, stride, padding, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def resnet9(n: int, n_classes: int) -> nn.Module:
    """Return the layers in the order of the datamodels example."""
    return nn.Sequential(
        conv_norm(3, n, 3, 1, 1),
        conv_norm(n, 2 * n, 5, 2, 2),
        Residual(*(conv_norm(2 * n, 2 * n, 3, 1, 1) for _ in range(2))),
        conv_norm(2 * n, 4 * n, 3, 1, 1),
        nn.MaxPool2d(2),
        Residual(*(conv_norm(4 * n, 4 * n, 3, 1, 1) for _ in range(2))),
        conv_norm(4 * n, 2 * n, 3, 1, 0),
        nn.AdaptiveMaxPool2d((1, 1)),
        nn.Flatten(),
        nn.Linear(2 * n, n_classes, bias=False),
        Times(0.2),
    )


def shift_norm(n: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(n, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad = False
    return layer


def whitened(n: int, n_classes: int) -> nn.Module:
    """Return the layers in the order of airbench94_muon."""
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 2), nn.GELU()]
    layers[0].weight.requires_grad = False
    for n_in, n_out in ((24, n), (n, 4 * n), (4 * n, 4 * n)):
        layers += [
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            shift_norm(n_out),
            nn.GELU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            shift_norm(n_out),
            nn.GELU(),
        ]
    head = nn.Linear(4 * n, n_classes, bias=False)
    layers += [nn.MaxPool2d(3), nn.Flatten(), head, Times(1 / (4 * n))]
    return nn.Sequential(*layers)


def patch_filters(x: Tensor) -> Tensor:
    """Return whitening filters by a loop over the four places of a 2 x 2 patch."""
    corners = [x[:, :, i : i + 31, j : j + 31] for i in range(2) for j in range(2)]
    patches = torch.stack(corners, 2).permute(0, 3, 4, 1, 2).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    signs = torch.stack([v[v.abs().argmax()].sign() for v in vectors.T])
    filters = (vectors * signs / (values + 5e-4).sqrt()).T.reshape(12, 3, 2, 2)
    return torch.cat([filters, -filters])


def shown(recipe: Recipe, image: Tensor, move: list[int]) -> Tensor:
    """Return one image mirrored, shifted, cut out and scaled."""
    flip, down, right, top, left = move
    mean, std = (
        torch.tensor(v, dtype=torch.float64)[:, None, None]
        for v in (recipe.pixels.mean, recipe.pixels.std)
    )
    x = (image.double() - mean) / std
    x = x.flip(-1) if flip else x
    pad, side = 4, x.shape[-1]
    kind = "reflect" if recipe.pixels.padding == "reflect" else "constant"
    x = functional.pad(x[None], (pad,) * 4, kind)[0]
    x = x[:, pad + down : pad + down + side, pad + right : pad + right + side].clone()
    k = recipe.moves.cutout
    x[:, top : top + k, left : left + k] = 0
    return x


def move_of(
    recipe: Recipe, seed: Tensor, epoch: int, image: int, side: int
) -> list[int]:
    """Return how an image is moved, by the counter's draws for it alone."""

    def draws(e: int) -> list[float]:
        keys = example_keys(seed, torch.tensor([e]), torch.tensor([[image]]))
        return keyed_uniforms(keys[0, 0, 2:], 5, 0).tolist()

    moves, now = recipe.moves, draws(epoch)
    if not (moves.shift or moves.cutout):
        return [0] * 5
    alternating = recipe.name == "throughput"
    flip = (draws(0)[0] < 0.5) != (epoch % 2 == 1) if alternating else now[0] < 0.5
    shift = [int(u * (2 * moves.shift + 1)) - moves.shift for u in now[1:3]]
    corner = [int(u * (side - moves.cutout + 1)) for u in now[3:]]
    return [int(flip), *shift, *corner]


def orthogonalised(matrix: Tensor, rounds: int) -> Tensor:
    """Return what Newton and Schulz do to the singular values, by a decomposition."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / (s.norm() + 1e-7)
    a, b, c = QUINTIC
    for _ in range(rounds):
        s = a * s + b * s**3 + c * s**5
    return u @ torch.diag(s) @ v


def fidelity_step(recipe: Recipe, module: nn.Module) -> object:
    group = recipe.groups[0]
    optimiser = torch.optim.SGD(
        module.parameters(),
        lr=1.0,
        momentum=0.9,
        weight_decay=group.weight_decay,
    )

    def step(number: int, n_steps: int) -> None:
        peak = 5 / 24 * n_steps
        share = np.interp(number, [0, peak, n_steps], [0, 1, 0])
        optimiser.param_groups[0]["lr"] = group.rate * share
        optimiser.step()

    return step


def throughput_step(recipe: Recipe, module: nn.Module) -> object:
    """Return airbench's two optimisers, rates and decays scaled to a mean loss."""
    size = recipe.batch_size
    trained = [p for p in module.parameters() if p.requires_grad]
    shifts = [p for p in trained if p.ndim == 1]
    heads = [p for p in trained if p.ndim == 2]
    filters = [p for p in trained if p.ndim == 4]
    parts = ((shifts[:1], 0.053, 3 / 8), (shifts[1:], 0.053, 1.0), (heads, 0.67, 1.0))
    optimiser = torch.optim.SGD(
        [{"params": p, "weight_decay": 2e-6 / rate} for p, rate, _ in parts],
        lr=1.0,
        momentum=0.85,
        nesterov=True,
    )
    velocity = [torch.zeros_like(p) for p in filters]

    def step(number: int, n_steps: int) -> None:
        for group, (_, rate, until) in zip(optimiser.param_groups, parts, strict=True):
            group["lr"] = rate * size * max(1 - number / (until * n_steps), 0)
        optimiser.step()
        with torch.no_grad():
            for p, v in zip(filters, velocity, strict=True):
                v.mul_(0.6).add_(p.grad)
                ahead = (p.grad + 0.6 * v).reshape(len(p), -1)
                p.mul_(len(p) ** 0.5 / p.norm())
                turn = orthogonalised(ahead, 3).reshape(p.shape)
                p.sub_(0.24 * (1 - number / n_steps) * turn)

    return step


def batches(
    recipe: Recipe, data: Dataset, weights: Tensor, seed: Tensor, policy: str
) -> list[tuple[int, Tensor]]:
    """Return the epoch and the images of every step, by the package's other trainer."""
    training = SGD(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        order="per-model",
        step_policy=policy,
    )
    plan = visits(training, data.ids, weights[None], seed)
    found = [
        (int(epoch), rows[0][filled[0]])
        for epoch, rows, filled in zip(plan.epoch, plan.rows, plan.filled, strict=True)
    ]
    whole = [entry for entry in found if len(entry[1]) == recipe.batch_size]
    return whole if recipe.drop_last and whole else found


def trained(problem: Cifar, weights: Tensor, seed: Tensor) -> nn.Module:
    """Train one module on the images whose weight is 1."""
    data, recipe = problem.data, problem.recipe
    n_classes, side = len(data.class_names), data.x_train.shape[-1]
    torch.manual_seed(int(model_seeds(0, seed, Purpose.INITIALISATION)))
    source = recipe.network(n_classes)
    fidelity = recipe.name == FIDELITY.name
    module = (resnet9 if fidelity else whitened)(recipe.network.width, n_classes)
    own = [p for p in module.parameters() if p.requires_grad]
    drawn = [p for p in source.parameters() if p.requires_grad]
    for mine, theirs in zip(own, drawn, strict=True):
        mine.data.copy_(theirs)
    module.double().train()
    if not fidelity:
        still = [shown(recipe, image, [0] * 5) for image in data.x_train]
        module[0].weight.data.copy_(patch_filters(torch.stack(still)))
    step = (fidelity_step if fidelity else throughput_step)(recipe, module)
    subset = problem.mode == "subset"
    policy = "proportional" if subset else "fixed"
    visited = float(weights.sum()) if subset else float(len(weights))
    divisor = weights.sum().item() if problem.normalisation == "sum" else len(weights)
    steps = batches(recipe, data, weights, seed, policy)
    for number, (epoch, rows) in enumerate(steps):
        present = rows[weights[rows] > 0]
        module.zero_grad(set_to_none=False)
        for p in own:
            p.grad = torch.zeros_like(p)
        if len(present):
            ids = data.ids[present].tolist()
            moves = [move_of(recipe, seed, epoch, i, side) for i in ids]
            images = [
                shown(recipe, image, move)
                for image, move in zip(data.x_train[present], moves, strict=True)
            ]
            losses = functional.cross_entropy(
                module(torch.stack(images)),
                data.y_train[present],
                reduction="sum",
                label_smoothing=recipe.loss.label_smoothing,
            )
            (losses * visited / divisor / len(rows)).backward()
        step(number, len(steps))
    return module.eval()


def margins(problem: Cifar, weights: Tensor, seed: Tensor) -> Tensor:
    """Return the margins of a trained module, its views averaged by hand."""
    data, recipe = problem.data, problem.recipe
    module = trained(problem, weights, seed)
    shifts = (
        [(0.5, 0)]
        if recipe.name == FIDELITY.name
        else [
            (0.25, 0),
            (0.125, -1),
            (0.125, 1),
        ]
    )
    logits = 0
    with torch.no_grad():
        for share, by in shifts:
            # As the source does: moved, then mirrored.
            moved = [_uncut(recipe, image, [0, by, by]) for image in data.x_target]
            x = torch.stack(moved)
            logits = logits + share * (module(x) + module(x.flip(3)))
    return margin(logits, data.y_target)


def _uncut(recipe: Recipe, image: Tensor, move: list[int]) -> Tensor:
    beyond = image.shape[-1]
    return shown(recipe, image, [*move, beyond, beyond])
