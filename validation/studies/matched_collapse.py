"""The gap of the matched derivative against d/(pN), moved by N, by d and by p."""

from dataclasses import dataclass, replace

from dmtheory.agreement.bootstrap import Interval
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.implicit import Implicit
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import run_all
from dmtheory.influence.curvature import effective_parameters
from dmtheory.problems.linear import LeastSquares
from dmtheory.responses.collect import collect
from validation.problems import resized
from validation.statistics.relate import relate
from validation.studies.smaller import with_targets
from validation.studies.study import Json, Made, Run, Study, chart, series

PROBLEM = "diabetes-sum"
TARGETS = 6
# One of N, d (by the features kept) and p moves, the others stay in the middle.
SIZES, MIDDLE_SIZE = (44, 88, 176, 352), 176
FEATURES, ALL_FEATURES = (2, 4, 7, 11), 11
LEVELS, MIDDLE_LEVEL = (0.2, 0.35, 0.5, 0.8), 0.5
MODELS = {False: 3000, True: 16000}
_ORDER = "d/(pN), d the effective parameters at w = p·1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A training set of N records with some of their features, and a p."""

    n_train: int = MIDDLE_SIZE
    n_features: int = ALL_FEATURES
    p: float = MIDDLE_LEVEL

    def problem(self) -> LeastSquares:
        """Return ridge regression on these records; the intercept always stays."""
        whole = resized(PROBLEM, self.n_train)
        assert isinstance(whole, LeastSquares)
        whole = with_targets(whole, TARGETS)
        data = whole.data
        n_columns = data.x_train.shape[1]
        kept = [*range(self.n_features - 1), n_columns - 1]
        return replace(
            whole,
            data=replace(
                data,
                name=f"diabetes, {self.n_features} features",
                x_train=data.x_train[:, kept],
                x_target=data.x_target[:, kept],
                x_held_out=data.x_held_out[:, kept],
                feature_names=tuple(data.feature_names[c] for c in kept),
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A place's gap and its order."""

    order: float
    gap: Interval
    slope: Interval


def make(run: Run, name: str) -> Made:
    """Move N, d and p one at a time and draw error and slope."""
    ways = {
        f"N from {SIZES[0]} to {SIZES[-1]}": [Place(n_train=n) for n in SIZES],
        f"features from {FEATURES[0]} to {FEATURES[-1]}": [
            Place(n_features=k) for k in FEATURES
        ],
        f"p from {LEVELS[0]} to {LEVELS[-1]}": [Place(p=p) for p in LEVELS],
    }
    places = list(dict.fromkeys(place for way in ways.values() for place in way))
    laboratory, n_models = run.laboratory, MODELS[run.thorough]
    tasks = [(place, n_models, laboratory.experiment_seed("masks")) for place in places]
    found = dict(zip(places, run_all(laboratory.engine, measured, tasks), strict=True))
    laboratory.models_trained += n_models * len(places)
    drawn = {way: [found[place] for place in row] for way, row in ways.items()}
    return Made(
        figures=[_errors(drawn), _slopes(drawn)],
        note=f"The middle is N = {MIDDLE_SIZE}, {ALL_FEATURES} features and "
        f"p = {MIDDLE_LEVEL:g}.",
    )


def _errors(drawn: dict[str, list[Measured]]) -> Json:
    ends = _ends(drawn)
    return chart(
        [
            *(
                series(way, [one.order for one in row], [one.gap for one in row])
                for way, row in drawn.items()
            ),
            series("d/(pN) itself", ends, ends, mark="line"),
        ],
        title="The gap against its order",
        x_label=_ORDER,
        y_label="relative error of dF/dw(p·1), the noise's share taken out",
        log="xy",
    )


def _slopes(drawn: dict[str, list[Measured]]) -> Json:
    return chart(
        [
            *(
                series(way, [one.order for one in row], [one.slope for one in row])
                for way, row in drawn.items()
            ),
            series("1", _ends(drawn), [1.0, 1.0], mark="line"),
        ],
        title="The slope against the same",
        x_label=_ORDER,
        y_label="slope of β(p) on dF/dw(p·1)",
        log="x",
    )


def _ends(drawn: dict[str, list[Measured]]) -> list[float]:
    orders = [one.order for row in drawn.values() for one in row]
    return [min(orders), max(orders)]


def measured(task: tuple[Place, int, int]) -> Measured:
    """Hold a datamodel of so many models against the exact derivative."""
    place, n_models, seed = task
    problem = place.problem()
    design = Bernoulli(p=place.p, n_models=n_models, seed=seed)
    datamodel = fit_datamodel(collect(problem, design))
    slope = response_derivative(problem, Implicit(), at=place.p)
    found = relate(datamodel, slope)
    d = effective_parameters(problem, at=place.p)
    return Measured(
        order=d / (place.p * place.n_train),
        gap=found.corrected_relative_error,
        slope=found.slope,
    )


STUDY = Study(
    id="matched-collapse",
    title="The gap against d/(pN), moved by N, d and p",
    text="Ridge regression on diabetes records, of which the number N, the features "
    "(and so d) and p are moved one at a time. d/(pN) is an order and no value: the "
    "terms behind it carry the factors 1 - 2p and 1 - p, which p moves as well.",
    scale="V",
    explains=("matched-derivative",),
    problems=lambda run: (PROBLEM,),
    make=make,
)
