"""Makes testdata/*.mlmodel and testdata/expected.json: models of scikit-learn and XGBoost, converted by coremltools, with what they predict.

coremltools converts no later version than these, which need a Python environment of their own (Python 3.11 was used):

    pip install "numpy<2" scikit-learn==1.5.1 xgboost==1.4.2 coremltools==9.0
    python make_testdata.py testdata

expected.json: for each model a list of {"inputs": {name: value}, "outputs": {name: value}}. Probabilities are lists in the order of
"classes". Inputs are float32 numbers, and far enough from thresholds that rounding them changes no branch.
"""

from __future__ import annotations

import json
import pathlib
import sys
import warnings

import coremltools as ct
import numpy as np
import xgboost
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

FOLDER = pathlib.Path(sys.argv[1])
EXPECTED: dict[str, list[dict]] = {}
ROWS = 8

IRIS = load_iris()
WINE = load_wine()
DIABETES = load_diabetes()


def save(name: str, model, samples: list[dict]) -> None:
    model.save(str(FOLDER / f"{name}.mlmodel"))
    EXPECTED[name] = samples


def rows_of(data: np.ndarray) -> np.ndarray:
    return data[:: len(data) // ROWS][:ROWS].astype(np.float32)


def classifier(name: str, model, data, target, convert, *, has_probabilities: bool = True, names: list[str] | None = None) -> None:
    model.fit(data, target)
    converted = convert(model)
    samples = []
    rows = rows_of(data)
    for row, label in zip(rows, model.predict(rows)):
        output: dict = {"classLabel": label.item() if hasattr(label, "item") else label}
        if has_probabilities:
            output["probabilities"] = model.predict_proba(row[None])[0].tolist()
            output["classes"] = [c.item() if hasattr(c, "item") else c for c in model.classes_]
        inputs = {"input": row.tolist()} if names is None else dict(zip(names, row.tolist()))
        samples.append({"inputs": inputs, "outputs": output})
    save(name, converted, samples)


def regressor(name: str, model, data, target, convert, *, names: list[str] | None = None) -> None:
    model.fit(data, target)
    converted = convert(model)
    rows = rows_of(data)
    samples = []
    for row, value in zip(rows, model.predict(rows)):
        inputs = {"input": row.tolist()} if names is None else dict(zip(names, row.tolist()))
        samples.append({"inputs": inputs, "outputs": {"prediction": float(value)}})
    save(name, converted, samples)


def sklearn(model):
    return ct.converters.sklearn.convert(model)


def trees() -> None:
    iris, wine = IRIS.data.astype(np.float32), WINE.data.astype(np.float32)
    kinds = np.array(["setosa", "versicolor", "virginica"])[IRIS.target]
    classifier("tree_classifier", DecisionTreeClassifier(max_depth=3, random_state=0), iris, kinds, sklearn)
    classifier("forest_classifier", RandomForestClassifier(5, max_depth=3, random_state=0), wine, WINE.target, sklearn)
    # For more than two classes coremltools does not divide by the number of trees.
    for sample in EXPECTED["forest_classifier"]:
        sample["outputs"]["probabilities"] = [5 * share for share in sample["outputs"]["probabilities"]]
    classifier(
        "boosted_classifier",
        GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0, init="zero"),
        iris,
        IRIS.target,
        sklearn,
    )
    classifier(
        "boosted_binary_classifier",
        GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=0, init="zero"),
        wine,
        (WINE.target == 1).astype(int),
        sklearn,
    )
    data = DIABETES.data.astype(np.float32)
    regressor("tree_regressor", DecisionTreeRegressor(max_depth=4, random_state=0), data, DIABETES.target, sklearn)
    regressor("forest_regressor", RandomForestRegressor(5, max_depth=4, random_state=0), data, DIABETES.target, sklearn)
    regressor(
        "boosted_regressor", GradientBoostingRegressor(n_estimators=5, max_depth=2, random_state=0), data, DIABETES.target, sklearn
    )


def xgboost_models() -> None:
    data = DIABETES.data.astype(np.float32)
    names = [f"f{i}" for i in range(data.shape[1])]
    regressor(
        "xgboost_regressor",
        xgboost.XGBRegressor(n_estimators=8, max_depth=3, random_state=0),
        data,
        DIABETES.target,
        lambda model: ct.converters.xgboost.convert(model, feature_names=names, target="prediction"),
        names=names,
    )
    iris = IRIS.data.astype(np.float32)
    names = [f"f{i}" for i in range(4)]
    for name, target in (("xgboost_classifier", IRIS.target), ("xgboost_binary_classifier", (IRIS.target == 1).astype(int))):
        classes = len(set(target.tolist()))
        classifier(
            name,
            xgboost.XGBClassifier(n_estimators=4, max_depth=2, random_state=0, use_label_encoder=False, eval_metric="logloss"),
            iris,
            target,
            lambda model, classes=classes: ct.converters.xgboost.convert(
                model, feature_names=names, mode="classifier", n_classes=classes, class_labels=list(range(classes))
            ),
            names=names,
        )


def linear() -> None:
    iris = IRIS.data.astype(np.float32)
    regressor("linear_regressor", LinearRegression(), DIABETES.data.astype(np.float32), DIABETES.target, sklearn)
    regressor("linear_support_regressor", LinearSVR(random_state=0, max_iter=100000), iris[:, :3], iris[:, 3], sklearn)
    classifier("logistic_classifier", LogisticRegression(multi_class="ovr", max_iter=1000), iris, IRIS.target, sklearn)
    classifier(
        "logistic_binary_classifier", LogisticRegression(multi_class="ovr"), iris, np.where(IRIS.target == 1, "yes", "no"), sklearn
    )
    classifier(
        "linear_support_classifier", LinearSVC(random_state=0, max_iter=100000), iris, IRIS.target, sklearn, has_probabilities=False
    )


def support_vectors() -> None:
    iris, wine = IRIS.data.astype(np.float32), StandardScaler().fit_transform(WINE.data).astype(np.float32)
    for kernel in ("linear", "rbf", "poly", "sigmoid"):
        options = {"kernel": kernel, "gamma": 0.05, "coef0": 0.5}
        classifier(f"svc_{kernel}", SVC(probability=True, random_state=0, **options), wine[::3], WINE.target[::3], sklearn)
        regressor(f"svr_{kernel}", SVR(**options), wine[::4, :5], wine[::4, 6], sklearn)
    classifier(
        "svc_binary",
        SVC(probability=False, random_state=0),
        iris[::3],
        np.where(IRIS.target[::3] == 1, "yes", "no"),
        sklearn,
        has_probabilities=False,
    )
    classifier("svc_votes", SVC(probability=False, random_state=0), iris[::3], IRIS.target[::3], sklearn, has_probabilities=False)
    classifier("nu_svc", NuSVC(probability=True, random_state=0), iris[::3], IRIS.target[::3], sklearn)
    regressor("nu_svr", NuSVR(), iris[::3, :3], iris[::3, 3], sklearn)


def neighbors() -> None:
    iris = IRIS.data[::3].astype(np.float32)
    for algorithm in ("brute", "kd_tree"):
        model = KNeighborsClassifier(5, algorithm=algorithm).fit(iris, IRIS.target[::3])
        converted = sklearn(model)
        rows = rows_of(IRIS.data) + np.float32(0.013)
        samples = [
            {"inputs": {"input": row.tolist()}, "outputs": {"classLabel": label.item()}}
            for row, label in zip(rows, model.predict(rows))
        ]
        spec = converted.get_spec()
        spec.description.output[0].name = spec.description.predictedFeatureName = "classLabel"
        save(f"neighbors_{algorithm}", ct.models.MLModel(spec), samples)


def steps() -> None:
    generator = np.random.default_rng(0)
    data = generator.normal(size=(40, 4)).astype(np.float32)
    target = data @ [1, -2, 0.5, 3] + 0.1
    regressor("scaled_regressor", Pipeline([("scale", StandardScaler()), ("model", LinearRegression())]), data, target, sklearn)
    for norm in ("l1", "l2"):
        steps = [("scale", StandardScaler()), ("norm", Normalizer(norm)), ("model", LinearRegression())]
        regressor(f"normalized_regressor_{norm}", Pipeline(steps), data, target, sklearn)
    classifier(
        "scaled_classifier",
        Pipeline([("scale", StandardScaler()), ("model", LogisticRegression(multi_class="ovr"))]),
        IRIS.data.astype(np.float32),
        IRIS.target,
        sklearn,
    )
    holes = data.copy()
    holes[::3, 1] = np.nan
    holes[::5, 3] = np.nan
    model = Pipeline([("impute", SimpleImputer(strategy="mean")), ("model", LinearRegression())]).fit(holes, target)
    rows = holes[:ROWS]
    samples = [
        {"inputs": {"input": [None if np.isnan(v) else float(v) for v in row]}, "outputs": {"prediction": float(value)}}
        for row, value in zip(rows, model.predict(rows))
    ]
    save("imputed_regressor", sklearn(model), samples)

    records = [
        {"city": "Paris", "size": 2.5},
        {"city": "Rome", "size": 1.0},
        {"city": "Oslo", "rooms": 3.0},
        {"city": "Rome", "rooms": 1.0},
    ]
    model = Pipeline([("vectorize", DictVectorizer()), ("model", LinearRegression())]).fit(records, [1.0, 2.0, 4.0, 3.0])
    samples = []
    for record in records:
        # The converted vectorizer takes what scikit-learn's makes of a text.
        given = {
            f"{key}={value}" if isinstance(value, str) else key: 1.0 if isinstance(value, str) else value
            for key, value in record.items()
        }
        samples.append({"inputs": {"input": given}, "outputs": {"prediction": float(model.predict([record])[0])}})
    save("vectorized_regressor", sklearn(model), samples)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for part in (trees, xgboost_models, linear, support_vectors, neighbors, steps):
        part()
    lines = (f"{json.dumps(name)}: {json.dumps(samples)}" for name, samples in sorted(EXPECTED.items()))
    (FOLDER / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
