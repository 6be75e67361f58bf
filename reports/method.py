"""What every number on the page means: the objects, the units, the laws of noise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing explained.

    Attributes:
        name: What it is called.
        words: What it is.
        tex: The same as a formula; empty where there is none.
    """

    name: str
    words: str
    tex: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Notes on one subject.

    Attributes:
        title: The subject.
        notes: What there is to know.
    """

    title: str
    notes: tuple[Note, ...]


_OBJECTS = Chapter(
    title="What is compared",
    notes=(
        Note(
            name="Expected output",
            words="Train with weights w on the N examples and with a random seed r, "
            "and read off the output f of interest, such as the margin of one "
            "held-out example. F(w) is its mean over seeds: the statistical response "
            "measurement of the post. w = 1 is the full data; w = 1 on a subset S and "
            "0 elsewhere is training on S.",
            tex=r"F(w) = E_r \, f(\Phi(r; w))",
        ),
        Note(
            name="Datamodel",
            words="The linear function of the subset that predicts F best, over "
            "random subsets that hold each example with probability p. Its "
            "coefficient is the mean change of F when the example joins such a "
            "subset.",
            tex=r"\beta_i(p) = E_S \left( F(1_{S+i}) - F(1_{S-i}) \right)",
        ),
        Note(
            name="Response derivative",
            words="How fast F changes with the weight of one example, at a point w.",
            tex=r"g_i(w) = \frac{\partial F(w)}{\partial w_i}",
        ),
        Note(
            name="The posted identity",
            words="The post equates the two at w = 1, for p = 1/2.",
            tex=r"\beta_i = \left. \frac{\partial F(w)}{\partial w_i} \right|_{w = 1}",
        ),
        Note(
            name="The bridge",
            words="What holds exactly, for every F: the coefficient is the derivative "
            "averaged over random subsets and over the example's own weight t from 0 "
            "to 1. It belongs to models trained on subsets, not to the full data.",
            tex=r"\beta_i(p) = E_S \int_0^1 g_i(1_{S-i} + t e_i) \, dt",
        ),
        Note(
            name="Matched derivative",
            words="An approximation of it: the derivative where every weight is p. "
            "The error falls with N.",
            tex=r"\beta_i(p) \approx g_i(p \cdot 1)",
        ),
        Note(
            name="Influence",
            words="The derivative foretold from a trained model's gradients and the "
            "curvature H of its training objective, without training again; ℓ is the "
            "loss of one example. Divided as the training loss is, it is the change "
            "per unit of weight.",
            tex=r"\tau_i = -\nabla f^\top H^{-1} \nabla \ell_i",
        ),
    ),
)
_UNITS = Chapter(
    title="Signs and units",
    notes=(
        Note(
            name="Sign",
            words="A positive score says that giving the example more weight raises "
            "the output.",
        ),
        Note(
            name="Unit",
            words="Change of the output per unit of one example's weight, where "
            "weight 1 is one full copy. In the convention of Koh and Liang (per ε, "
            "with ε = 1/N a whole example) the same number is N times as large.",
            tex=r"\frac{dF}{d\varepsilon_i} = N \frac{dF}{dw_i}",
        ),
        Note(
            name="Margin",
            words="The logit of the correct class less the log-sum-exp of the others: "
            "positive where the model gives that class more than half of the "
            "probability.",
        ),
        Note(
            name="Normalisation",
            words="`count` divides the training loss by N, as the post writes it. "
            "`sum` divides by the sum of the weights W, so training is scale-free: "
            "halving all weights changes nothing. There a derivative at w = p·1 is "
            "1/p times the one at w = 1, so the posted identity keeps the direction "
            "and misses the factor 1/p, which is 2 at p = 1/2.",
            tex=r"g_i(c \cdot w) = \frac{1}{c} g_i(w)",
        ),
        Note(
            name="Steps",
            words="All models take the same number of training steps (`fixed`), or "
            "else training on subsets would be another procedure than the one that is "
            "differentiated.",
        ),
    ),
)
_NOISE = Chapter(
    title="Noise",
    notes=(
        Note(
            name="Intervals",
            words="95 %, from resampling models and seeds together, or what else a "
            "part names, such as targets. A number marked exact carries no sampling "
            "error: it comes from a closed form, from "
            "listing all subsets, or from training without randomness at fixed "
            "weights. An interval that is missing was not estimated.",
        ),
        Note(
            name="Standard error of a coefficient",
            words="From m models of independent subsets; σ² is the variance that "
            "seeds leave, plus the variance of F that no linear function of the "
            "subset has.",
            tex=r"\frac{\sigma}{\sqrt{m \, p (1-p)}}",
        ),
        Note(
            name="How well m models tell the linear part",
            words="Correlation of the fitted with the true linear part on new "
            "subsets; L is the variance of the true one. It needs m > N + 2.",
            tex=r"r = \sqrt{\frac{L}{L + N \sigma^2 / (m - N - 2)}}",
        ),
        Note(
            name="Linear datamodeling score (LDS)",
            words="Correlation, over new subsets, of what an attribution predicts "
            "with what was trained. With R seeds a subset it cannot exceed the "
            "ceiling, in which the variance over subsets stands against the seeds'.",
            tex=r"\mathrm{ceiling} = \sqrt{\frac{\sigma_S^2}"
            r"{\sigma_S^2 + \sigma_r^2 / R}}",
        ),
        Note(
            name="Slopes",
            words="Least squares of b on a noisy a comes out too small. A slope here "
            "takes two independent halves of a, so that their noise cancels; the "
            "naive slope stands beside it. Correlations with errors taken out are "
            "divided by the square root of both sides' reliabilities: the shares of "
            "their variances that are no noise.",
            tex=r"\frac{\langle a_1, b \rangle + \langle a_2, b \rangle}"
            r"{2 \langle a_1, a_2 \rangle}",
        ),
    ),
)
_VERDICTS = Chapter(
    title="What the verdicts mean",
    notes=(
        Note(
            name="supported",
            words="The whole interval lies inside the tolerance, which was fixed "
            "before the run.",
        ),
        Note(name="refuted", words="The whole interval lies outside the tolerance."),
        Note(
            name="inconclusive",
            words="The interval reaches across the tolerance; more models would "
            "decide. It does not count as passed.",
        ),
        Note(name="skipped", words="A device or an optional package is missing."),
        Note(
            name="as expected",
            words="Each part of a claim came out as theory says it must: supported "
            "where the claim is true, refuted where it is false.",
        ),
        Note(
            name="stands",
            words="As expected also when all entries of the run are taken together. "
            "Every interval misses its truth now and then, and with many entries one "
            "of them soon does. A part's p-value is at most the chance that noise "
            "brings it out as expected where in truth it is not; the entry's is that "
            "of its weakest part, and shown is p as Holm's method adjusts it to the "
            "number of entries. Those with at most 0.05 stand: the probability that "
            "any entry stands which in truth is not as expected is at most 5 %. Exact "
            "numbers have p = 0; an entry that is not as expected, or that missed a "
            "wrong estimate, stands nowhere.",
        ),
        Note(
            name="wrong estimates",
            words="The same claim decided with an estimate that was spoiled on "
            "purpose. It is caught when the claim then no longer comes out as "
            "expected.",
        ),
    ),
)
METHOD = (_OBJECTS, _UNITS, _NOISE, _VERDICTS)
