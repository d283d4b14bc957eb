"""Ordinary files of many kinds, as people save them: none is called dangerous, and hardly any is held."""

from __future__ import annotations

import pickle
import plistlib
import re
import uuid
import warnings
import zoneinfo
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
from scipy import interpolate, sparse, stats  # type: ignore[import-untyped]
from scipy.spatial import Delaunay, KDTree  # type: ignore[import-untyped]
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    isotonic,
    kernel_ridge,
    linear_model,
    manifold,
    metrics,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    semi_supervised,
    svm,
    tree,
)

from governance.scanning import Verdict, read_allowlist, scan
from governance.scanning.allowlist import Kind
from tests.governance.scanning import corpus_ordinary

NUMBERS = np.abs(np.random.default_rng(1).random((40, 4)))
CLASSES = (NUMBERS[:, 0] > 0.5).astype(int)
VALUES = NUMBERS[:, 0] * 2
WORDS = ["a cat sat", "the dog ran away"] * 20
TABLE = np.column_stack([NUMBERS, CLASSES.astype(str)]).astype(object)

CLASSIFIERS: list[Any] = [
    linear_model.LogisticRegression(),
    linear_model.SGDClassifier(),
    linear_model.RidgeClassifierCV(),
    linear_model.Perceptron(),
    ensemble.RandomForestClassifier(3),
    ensemble.ExtraTreesClassifier(3),
    ensemble.GradientBoostingClassifier(n_estimators=3),
    ensemble.HistGradientBoostingClassifier(max_iter=3),
    ensemble.AdaBoostClassifier(n_estimators=3),
    ensemble.BaggingClassifier(n_estimators=3),
    ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())]),
    ensemble.StackingClassifier([("a", naive_bayes.GaussianNB())], cv=2),
    svm.SVC(probability=False),
    svm.LinearSVC(),
    svm.NuSVC(nu=0.2),
    naive_bayes.GaussianNB(),
    naive_bayes.MultinomialNB(),
    naive_bayes.BernoulliNB(),
    neighbors.KNeighborsClassifier(),
    neighbors.NearestCentroid(),
    tree.DecisionTreeClassifier(),
    neural_network.MLPClassifier((3,), max_iter=5),
    gaussian_process.GaussianProcessClassifier(),
    discriminant_analysis.LinearDiscriminantAnalysis(),
    discriminant_analysis.QuadraticDiscriminantAnalysis(),
    calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2),
    multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    semi_supervised.LabelPropagation(),
    dummy.DummyClassifier(),
    pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2), svm.SVC()),
    pipeline.make_pipeline(feature_selection.SelectKBest(k=2), linear_model.LogisticRegression()),
    pipeline.make_pipeline(feature_selection.RFE(linear_model.LogisticRegression()), preprocessing.MinMaxScaler()),
    model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [1, 2]}, cv=2, scoring="roc_auc"),
    model_selection.RandomizedSearchCV(
        tree.DecisionTreeClassifier(),
        {
            "max_depth": stats.randint(2, 5),
            "ccp_alpha": stats.uniform(0, 0.1),
            "min_samples_leaf": stats.uniform(0.1, 0.2),
        },
        n_iter=2,
        cv=2,
    ),
    model_selection.GridSearchCV(
        tree.DecisionTreeClassifier(), {"max_depth": [1]}, scoring=metrics.make_scorer(metrics.f1_score), cv=2
    ),
]
REGRESSORS: list[Any] = [
    linear_model.LinearRegression(),
    linear_model.ElasticNetCV(cv=2),
    linear_model.BayesianRidge(),
    linear_model.HuberRegressor(),
    linear_model.RANSACRegressor(),
    linear_model.PoissonRegressor(),
    ensemble.GradientBoostingRegressor(n_estimators=3),
    ensemble.RandomForestRegressor(3),
    svm.SVR(),
    kernel_ridge.KernelRidge(),
    neighbors.KNeighborsRegressor(),
    gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.RBF() + gaussian_process.kernels.WhiteKernel()),
    cross_decomposition.PLSRegression(1),
    compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1),
    multioutput.RegressorChain(linear_model.Ridge()),
]
TRANSFORMERS: list[Any] = [
    preprocessing.StandardScaler(),
    preprocessing.RobustScaler(),
    preprocessing.PowerTransformer(),
    preprocessing.QuantileTransformer(n_quantiles=5),
    preprocessing.PolynomialFeatures(),
    preprocessing.SplineTransformer(),
    preprocessing.KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
    preprocessing.FunctionTransformer(np.log1p),
    decomposition.PCA(2),
    decomposition.TruncatedSVD(2),
    decomposition.NMF(2, max_iter=5),
    decomposition.FastICA(2),
    decomposition.LatentDirichletAllocation(2, max_iter=2),
    cluster.KMeans(2, n_init=1),
    cluster.MiniBatchKMeans(2, n_init=1),
    cluster.DBSCAN(),
    cluster.AgglomerativeClustering(),
    mixture.GaussianMixture(2),
    manifold.Isomap(n_neighbors=3),
    ensemble.IsolationForest(n_estimators=3),
    svm.OneClassSVM(),
    neighbors.NearestNeighbors(),
    neighbors.LocalOutlierFactor(),
    covariance.EmpiricalCovariance(),
    impute.SimpleImputer(),
    impute.KNNImputer(),
]


def fitted() -> Iterator[tuple[str, object]]:
    """Yield estimators of many kinds after fitting."""
    for each in CLASSIFIERS:
        yield f"classifier-{type(each).__name__}", each.fit(NUMBERS, CLASSES)
    for each in REGRESSORS:
        target = np.column_stack([VALUES, VALUES]) if isinstance(each, multioutput.RegressorChain) else VALUES
        yield f"regressor-{type(each).__name__}", each.fit(NUMBERS, target)
    for each in TRANSFORMERS:
        yield f"transformer-{type(each).__name__}", each.fit(NUMBERS)
    yield "isotonic", isotonic.IsotonicRegression().fit(NUMBERS[:, 0], VALUES)
    for vectoriser in (feature_extraction.text.CountVectorizer, feature_extraction.text.TfidfVectorizer):
        made = pipeline.make_pipeline(vectoriser(), naive_bayes.MultinomialNB())
        yield f"text-{vectoriser.__name__}", made.fit(WORDS, CLASSES)
    hashing = pipeline.make_pipeline(feature_extraction.text.HashingVectorizer(), linear_model.SGDClassifier())
    yield "hashing", hashing.fit(WORDS, CLASSES)
    yield "dictionaries", feature_extraction.DictVectorizer().fit([{"a": 1, "b": 2}])
    yield "labels", preprocessing.LabelEncoder().fit(WORDS)
    numeric, named = preprocessing.StandardScaler(), preprocessing.OneHotEncoder(handle_unknown="ignore")
    columns = compose.ColumnTransformer([("numeric", numeric, [0, 1]), ("named", named, [4])])
    yield "columns", pipeline.make_pipeline(columns, tree.DecisionTreeClassifier()).fit(TABLE, CLASSES)


KNOTS = np.linspace(0, 1, 8)
MODEL = linear_model.LogisticRegression().fit(NUMBERS, CLASSES)
SPARSE = ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")
KINDS: dict[str, Callable[[], object]] = {
    "bundle": lambda: {"model": MODEL, "trained": datetime.now(UTC), "cut": np.float64(0.4), "run": uuid.uuid4()},
    "containers": lambda: [OrderedDict(a=1), defaultdict(dict, a={}), Counter("ab"), deque([1], 3), ChainMap({1: 2})],
    "numbers": lambda: [Decimal("1.5"), Fraction(1, 3), 1j, 2**90, float("nan"), array("d", [1, 2])],
    "settings": lambda: [SimpleNamespace(a=1), re.compile("a+", re.I), ip_address("10.0.0.1"), Path("runs"), range(4)],
    "zones": lambda: [datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), timedelta(hours=1)],
    "vocabulary": lambda: {f"token{place}": place for place in range(3000)},
    "text-list": lambda: [("x" * 100, {"y": None})] * 50,
    "array": lambda: NUMBERS,
    "float32": lambda: {"w": NUMBERS.astype("f4"), "b": np.zeros(3, "f2"), "order": np.asfortranarray(NUMBERS)},
    "structured": lambda: np.zeros(3, [("a", "i4"), ("b", "f8", (2,)), ("c", "U3")]),
    "dates": lambda: [np.array(["2026-01-01"], "M8[D]"), np.array([3], "m8[h]"), np.datetime64("2026")],
    "masked": lambda: np.ma.array([1, 2], mask=[False, True]),
    "records": lambda: np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]),
    "objects": lambda: np.array(["a", None, {"x": 1}], object),
    "scalars": lambda: [np.float32(1), np.int64(2), np.bool_(True), np.str_("x"), np.complex64(1)],
    "polynomials": lambda: [np.poly1d([1, 2]), np.polynomial.Chebyshev([1, 2]), np.polynomial.Legendre([1, 2])],
    "generators": lambda: [np.random.default_rng(1), np.random.RandomState(1), np.random.Philox(1)],
    "types": lambda: [type(None), type(...), int, dict, np.float32, np.ndarray],
    "functions": lambda: [np.log1p, np.sqrt, np.mean, len, max],
    "sparse": lambda: [getattr(sparse, f"{kind}_matrix")(np.eye(3)) for kind in SPARSE],
    "sparse-array": lambda: sparse.csr_array(np.eye(3)),
    "distributions": lambda: [stats.norm(0, 1), stats.gamma(2), stats.poisson(3), stats.gaussian_kde(VALUES)],
    "interpolation": lambda: [interpolate.interp1d(KNOTS, KNOTS), interpolate.CubicSpline(KNOTS, KNOTS)],
    "spatial": lambda: [KDTree(NUMBERS), Delaunay(NUMBERS[:, :2])],
    "statistic": lambda: stats.describe(VALUES),
    "enumeration": lambda: {"format": plistlib.FMT_XML},
}  # fmt: skip
NOT_VETTED = {"enumeration"}


def save(value: object, folder: Path, label: str, way: int) -> Path:
    """Save a value in one of eight ways in which people do it."""
    path = folder / f"{label}{'.joblib' if way < 4 else '.pkl'}"
    if way < 4:
        joblib.dump(value, path, compress=(0, 3, ("gzip", 3), ("lz4", 1))[way])
    else:
        path.write_bytes(pickle.dumps(value, way - 2))
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save everything, each in another way than the one before."""
    folder, found = tmp_path_factory.mktemp("ordinary"), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        things = [*fitted(), *((label, make()) for label, make in KINDS.items())]
        for place, (label, value) in enumerate(things):
            found[f"{place}-{label}"] = save(value, folder, f"{place}-{label}", place % 8)
    for label, data in corpus_ordinary.files().items():
        found[label] = folder / label
        found[label].write_bytes(data)
    return found


def test_ordinary_files_are_neither_held_nor_refused(saved: dict[str, Path]) -> None:
    reports = {label: scan(path) for label, path in saved.items()}
    stopped = {label: report.reasons for label, report in reports.items() if report.verdict is not Verdict.PASS}
    assert {label.partition("-")[2] for label in stopped} <= NOT_VETTED, stopped
    assert all(reports[label].verdict is Verdict.HELD for label in stopped)
    assert len(reports) > 150


def test_a_member_of_somebody_elses_enumeration_is_held_for_its_class_alone(saved: dict[str, Path]) -> None:
    [path] = [path for label, path in saved.items() if label.endswith("-enumeration")]
    [held] = scan(path).held_globals
    assert str(held) == "plistlib.PlistFormat"
    # Releases of Python differ: some write a member as a call of its class, others as an attribute of it.
    assert held.use in {Kind.REF, Kind.CALL}


def test_protocol_0_with_a_large_array_in_one_line_passes(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(np.random.default_rng(2).random((200, 200)), 0))
    assert scan(tmp_path / "a.pkl").reasons == ()


# What files of these libraries, which are not installed here, were seen to name; by use.
SEEN = {
    "class": """pandas:DataFrame pandas.core.frame:DataFrame lightgbm.sklearn:LGBMClassifier lightgbm.basic:Booster
        xgboost.core:Booster xgboost.sklearn:XGBClassifier imblearn.pipeline:Pipeline tokenizers:Tokenizer
        imblearn.over_sampling._smote.base:SMOTE category_encoders.target_encoder:TargetEncoder
        pandas.arrays:StringArray gensim.models.word2vec:Word2Vec keras_preprocessing.text:Tokenizer
        torch.optim.adamw:AdamW torch.nn.modules.rnn:LSTM omegaconf.dictconfig:DictConfig
        pandas.core.arrays.categorical:Categorical""",
    "call": """catboost.core:CatBoostClassifier pandas.core.indexes.base:_new_Index torch._utils:_rebuild_parameter
        pandas._libs.internals:_unpickle_block pandas:StringDtype pandas.core.internals.managers:BlockManager
        pandas._libs.arrays:__pyx_unpickle_NDArrayBacked torch.storage:_load_from_bytes numpy.core.multiarray:scalar""",
    "constant": "pandas:Index pandas.core.indexes.range:RangeIndex torch:QUInt8Storage torch:bfloat16 numpy:float16",
}


def test_what_real_files_of_other_libraries_name_is_listed() -> None:
    listed = read_allowlist()
    found = {each: listed.judge(*each.split(":")) for names in SEEN.values() for each in names.split()}
    assert found == {each: Kind(use) for use, names in SEEN.items() for each in names.split()}
