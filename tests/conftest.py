"""One thread, one Hypothesis profile, and shapes that are checked at every call."""

import warnings

import torch
from hypothesis import settings
from jaxtyping import install_import_hook
from torch.autograd import forward_ad

torch.set_num_threads(1)

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=40,
    database=None,
)
settings.load_profile("ci")

# torch compiles its rules for forward mode at first use, by a call that it deprecates.
with warnings.catch_warnings(), forward_ad.dual_level():
    warnings.simplefilter("ignore", DeprecationWarning)
    forward_ad.make_dual(torch.ones(1), torch.ones(1))

# Never taken away again, or modules that a test imports later would go unchecked.
install_import_hook("dmtheory", "checked.typed")
