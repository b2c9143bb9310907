"""Writes one small ONNX file per kind of classical model, and their README.

Models are fitted to seeded data in -1..1, the range the parity tests draw
from: the files are for parity with ONNX Runtime on graphs as skl2onnx,
onnxmltools and CatBoost write them.
"""

import collections
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
)
from sklearn import (
    cluster,
    cross_decomposition,
    decomposition,
    ensemble,
    gaussian_process,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)
from sklearn import preprocessing as prep
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import kernels as gp
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline, make_union

FOLDER = Path(__file__).resolve().parent / "sklearn"
SEED = 7
ROWS, FEATURES = 160, 6
SIZE_LIMIT = 40_000
OPSET, ML_OPSET = 18, 3

# What converters write without a word, but wrongly.
WRONG = {
    "xgboost, several targets": "onnxmltools gives every tree to the first target; nowcast refuses"
    " the file, since the other targets get base values and no weights",
}

random = np.random.default_rng(SEED)
X = random.uniform(-1, 1, (ROWS, FEATURES)).astype(np.float32)
SIGNAL = X[:, 0] - 2 * X[:, 1] * X[:, 2] + np.sin(3 * X[:, 3])
Y = (SIGNAL + 0.1 * random.normal(size=ROWS)).astype(np.float32)
Y2 = np.stack([Y, X[:, 4] - Y**2], axis=1)
TWO = (Y > 0).astype(np.int64)
THREE = np.digitize(Y, [-0.5, 0.5]).astype(np.int64)
ODD = np.array([10, 20, 40])[THREE]
TEXT = np.array(["low", "middle", "high"])[THREE]
TEXT_TWO = np.array(["down", "up"])[TWO]
CODES = random.integers(0, 2, (ROWS, 3)).astype(np.int64)
GAPS = np.where(random.uniform(size=X.shape) < 0.15, np.nan, X).astype(np.float32)


@dataclass
class Case:
    """A model, what it is fitted to, and how it is converted."""

    model: object
    target: np.ndarray | None = None
    data: np.ndarray = field(default_factory=lambda: X)
    name: str = "features"
    options: dict | None = None
    opset: int = OPSET
    ml_opset: int = ML_OPSET
    double: bool = False


def regressors() -> dict[str, Case]:
    r = SEED
    return {
        "linear_regression_two_targets": Case(linear_model.LinearRegression(), Y2),
        "ridge": Case(linear_model.Ridge(), Y),
        "ridge_double": Case(linear_model.Ridge(), Y, double=True),
        "lasso": Case(linear_model.Lasso(alpha=0.01), Y),
        "elastic_net": Case(linear_model.ElasticNet(alpha=0.01), Y),
        "bayesian_ridge": Case(linear_model.BayesianRidge(), Y),
        "huber": Case(linear_model.HuberRegressor(), Y),
        "ransac": Case(linear_model.RANSACRegressor(random_state=r), Y),
        "theil_sen": Case(linear_model.TheilSenRegressor(random_state=r), Y),
        "quantile": Case(linear_model.QuantileRegressor(alpha=0.01), Y),
        "tweedie": Case(linear_model.TweedieRegressor(power=1.5), np.exp(Y)),
        "poisson": Case(linear_model.PoissonRegressor(), np.exp(Y)),
        "gamma": Case(linear_model.GammaRegressor(), np.exp(Y)),
        "sgd_regressor": Case(linear_model.SGDRegressor(random_state=r), Y),
        "svr_rbf": Case(svm.SVR(), Y),
        "svr_poly": Case(svm.SVR(kernel="poly", degree=2, coef0=0.5), Y),
        "svr_linear": Case(svm.SVR(kernel="linear"), Y),
        "svr_sigmoid": Case(svm.SVR(kernel="sigmoid", gamma=0.1), Y),
        "nu_svr": Case(svm.NuSVR(), Y),
        "linear_svr": Case(svm.LinearSVR(random_state=r), Y),
        "decision_tree_regressor": Case(tree.DecisionTreeRegressor(max_depth=6, random_state=r), Y),
        "decision_tree_regressor_two_targets": Case(
            tree.DecisionTreeRegressor(max_depth=5, random_state=r), Y2
        ),
        "random_forest_regressor": Case(
            ensemble.RandomForestRegressor(12, max_depth=5, random_state=r), Y
        ),
        "random_forest_regressor_two_targets": Case(
            ensemble.RandomForestRegressor(6, max_depth=5, random_state=r), Y2
        ),
        "random_forest_regressor_double": Case(
            ensemble.RandomForestRegressor(8, max_depth=5, random_state=r), Y, double=True
        ),
        "extra_trees_regressor": Case(
            ensemble.ExtraTreesRegressor(10, max_depth=5, random_state=r), Y
        ),
        "gradient_boosting_regressor": Case(
            ensemble.GradientBoostingRegressor(n_estimators=25, random_state=r), Y
        ),
        "gradient_boosting_regressor_ml1": Case(
            ensemble.GradientBoostingRegressor(n_estimators=15, random_state=r),
            Y, opset=12, ml_opset=1,
        ),
        "hist_gradient_boosting_regressor": Case(
            ensemble.HistGradientBoostingRegressor(max_iter=20), Y
        ),
        "hist_gradient_boosting_regressor_missing": Case(
            ensemble.HistGradientBoostingRegressor(max_iter=20), Y, GAPS, "features_with_gaps"
        ),
        "ada_boost_regressor": Case(
            ensemble.AdaBoostRegressor(n_estimators=8, random_state=r), Y
        ),
        "bagging_regressor": Case(
            ensemble.BaggingRegressor(
                tree.DecisionTreeRegressor(max_depth=4), 6, random_state=r
            ), Y
        ),
        "voting_regressor": Case(
            ensemble.VotingRegressor([
                ("line", linear_model.Ridge()),
                ("tree", tree.DecisionTreeRegressor(max_depth=4, random_state=r)),
            ]), Y
        ),
        "stacking_regressor": Case(
            ensemble.StackingRegressor([
                ("line", linear_model.Ridge()),
                ("tree", tree.DecisionTreeRegressor(max_depth=4, random_state=r)),
            ]), Y
        ),
        "k_neighbors_regressor": Case(neighbors.KNeighborsRegressor(4), Y),
        "k_neighbors_regressor_distance": Case(
            neighbors.KNeighborsRegressor(4, weights="distance"), Y
        ),
        "k_neighbors_regressor_cdist": Case(
            neighbors.KNeighborsRegressor(4), Y,
            options={"optim": "cdist"},
        ),
        "k_neighbors_regressor_distance_cdist": Case(
            neighbors.KNeighborsRegressor(4, weights="distance"), Y2,
            options={"optim": "cdist"},
        ),
        "radius_neighbors_regressor": Case(neighbors.RadiusNeighborsRegressor(1.5), Y),
        "mlp_regressor": Case(
            neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=r), Y
        ),
        "pls_regression": Case(cross_decomposition.PLSRegression(2), Y2),
        "gaussian_process": Case(
            gaussian_process.GaussianProcessRegressor(gp.RBF(0.8), alpha=0.1), Y
        ),
        "gaussian_process_cdist": Case(
            gaussian_process.GaussianProcessRegressor(gp.RBF(0.8), alpha=0.1), Y,
            options={"optim": "cdist"},
        ),
        "gaussian_process_cdist_std": Case(
            gaussian_process.GaussianProcessRegressor(
                gp.ConstantKernel(1.5) * gp.RBF(0.8) + gp.WhiteKernel(0.1), alpha=0.1,
                optimizer=None,
            ), Y[:40], X[:40],
            options={"optim": "cdist", "return_std": True},
        ),
        "gaussian_process_dot_product": Case(
            gaussian_process.GaussianProcessRegressor(gp.DotProduct(), alpha=0.5), Y
        ),
        "gaussian_process_std": Case(
            gaussian_process.GaussianProcessRegressor(
                gp.ConstantKernel(1.5) * gp.RBF(0.8) + gp.WhiteKernel(0.1), alpha=0.1,
                optimizer=None,
            ), Y[:40], X[:40],
            options={"return_std": True},
        ),
        "gaussian_process_rational_quadratic": Case(
            gaussian_process.GaussianProcessRegressor(
                gp.RationalQuadratic(), alpha=0.1, optimizer=None
            ), Y, double=True
        ),
    }  # fmt: skip


def classifiers() -> dict[str, Case]:
    r = SEED
    tensor, columns = {"zipmap": False}, {"zipmap": "columns"}
    logistic = linear_model.LogisticRegression
    return {
        "logistic_regression": Case(logistic(), TWO, options=tensor),
        "logistic_regression_three": Case(logistic(), THREE, options=tensor),
        "logistic_regression_odd_labels": Case(logistic(), ODD, options=tensor),
        "logistic_regression_text": Case(logistic(), TEXT, options=tensor),
        "logistic_regression_text_zipmap": Case(logistic(), TEXT),
        "logistic_regression_zipmap": Case(logistic(), ODD),
        "logistic_regression_columns": Case(logistic(), TEXT_TWO, options=columns),
        "sgd_classifier": Case(
            linear_model.SGDClassifier(loss="log_loss", random_state=r), THREE, options=tensor
        ),
        "perceptron": Case(linear_model.Perceptron(random_state=r), THREE, options=None),
        "ridge_classifier": Case(linear_model.RidgeClassifier(), THREE, options=tensor),
        "linear_svc": Case(svm.LinearSVC(random_state=r), TWO),
        "linear_svc_three": Case(svm.LinearSVC(random_state=r), THREE),
        "svc_rbf": Case(svm.SVC(), TWO, options=tensor),
        "svc_rbf_three": Case(svm.SVC(), THREE, options=tensor),
        "svc_poly_text": Case(svm.SVC(kernel="poly"), TEXT, options=tensor),
        "svc_sigmoid": Case(svm.SVC(kernel="sigmoid"), TWO, options=tensor),
        "svc_probability": Case(svm.SVC(probability=True, random_state=r), TWO, options=tensor),
        "svc_probability_three": Case(
            svm.SVC(probability=True, random_state=r), THREE, options=tensor
        ),
        "nu_svc": Case(svm.NuSVC(nu=0.3), THREE, options=tensor),
        "decision_tree_classifier": Case(
            tree.DecisionTreeClassifier(max_depth=5, random_state=r), TWO, options=tensor
        ),
        "random_forest_classifier_opset_21": Case(
            ensemble.RandomForestClassifier(6, max_depth=4, random_state=r),
            TEXT_TWO, opset=21, options=tensor,
        ),
        "logistic_regression_opset_12": Case(
            logistic(), TEXT, opset=12, ml_opset=1, options=tensor
        ),
        "logistic_regression_double": Case(logistic(), THREE, options=tensor, double=True),
        "decision_tree_classifier_text": Case(
            tree.DecisionTreeClassifier(max_depth=5, random_state=r), TEXT, options=tensor
        ),
        "random_forest_classifier": Case(
            ensemble.RandomForestClassifier(10, max_depth=4, random_state=r), TWO, options=tensor
        ),
        "random_forest_classifier_three": Case(
            ensemble.RandomForestClassifier(8, max_depth=4, random_state=r), THREE, options=tensor
        ),
        "random_forest_classifier_zipmap": Case(
            ensemble.RandomForestClassifier(6, max_depth=4, random_state=r), TEXT
        ),
        "random_forest_classifier_double": Case(
            ensemble.RandomForestClassifier(6, max_depth=4, random_state=r),
            THREE, options=tensor, double=True,
        ),
        "extra_trees_classifier": Case(
            ensemble.ExtraTreesClassifier(8, max_depth=4, random_state=r), THREE, options=tensor
        ),
        "gradient_boosting_classifier": Case(
            ensemble.GradientBoostingClassifier(n_estimators=15, random_state=r),
            TWO, options=tensor,
        ),
        "gradient_boosting_classifier_three": Case(
            ensemble.GradientBoostingClassifier(n_estimators=8, random_state=r),
            TEXT, options=tensor,
        ),
        "hist_gradient_boosting_classifier": Case(
            ensemble.HistGradientBoostingClassifier(max_iter=15), TWO, options=tensor
        ),
        "hist_gradient_boosting_classifier_missing": Case(
            ensemble.HistGradientBoostingClassifier(max_iter=8),
            THREE, GAPS, "features_with_gaps", options=tensor,
        ),
        "ada_boost_classifier": Case(
            ensemble.AdaBoostClassifier(
                tree.DecisionTreeClassifier(max_depth=2), n_estimators=6, random_state=r
            ), THREE, options=tensor,
        ),
        "bagging_classifier": Case(
            ensemble.BaggingClassifier(
                tree.DecisionTreeClassifier(max_depth=3), 5, random_state=r
            ), THREE, options=tensor,
        ),
        "voting_classifier": Case(
            ensemble.VotingClassifier([
                ("line", logistic()),
                ("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=r)),
            ], voting="soft", flatten_transform=False), THREE, options=tensor,
        ),
        "voting_classifier_hard": Case(
            ensemble.VotingClassifier([
                ("line", logistic()),
                ("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=r)),
                ("bayes", naive_bayes.GaussianNB()),
            ], flatten_transform=False), THREE,
        ),
        "stacking_classifier": Case(
            ensemble.StackingClassifier([
                ("line", logistic()),
                ("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=r)),
            ]), THREE, options=tensor,
        ),
        "k_neighbors_classifier": Case(
            neighbors.KNeighborsClassifier(4), THREE, options=tensor
        ),
        "k_neighbors_classifier_cdist": Case(
            neighbors.KNeighborsClassifier(4), TEXT,
            options={"optim": "cdist", "zipmap": False},
        ),
        "k_neighbors_classifier_text": Case(
            neighbors.KNeighborsClassifier(4), TEXT, options=tensor
        ),
        "gaussian_nb": Case(naive_bayes.GaussianNB(), THREE, options=tensor),
        "bernoulli_nb": Case(naive_bayes.BernoulliNB(), TEXT, options=tensor),
        "multinomial_nb": Case(naive_bayes.MultinomialNB(), THREE, np.abs(X), options=tensor),
        "complement_nb": Case(naive_bayes.ComplementNB(), THREE, np.abs(X), options=tensor),
        "mlp_classifier": Case(
            neural_network.MLPClassifier(hidden_layer_sizes=(8,), max_iter=50, random_state=r), TEXT, options=tensor
        ),
        "mlp_classifier_two": Case(
            neural_network.MLPClassifier(hidden_layer_sizes=(8,), max_iter=50, random_state=r), TWO, options=tensor
        ),
        "gaussian_process_classifier": Case(
            gaussian_process.GaussianProcessClassifier(gp.RBF(0.8), optimizer=None),
            TWO[:60], X[:60], options=tensor,
        ),
    }  # fmt: skip


def others() -> dict[str, Case]:
    r = SEED
    ridge = linear_model.Ridge
    categories = ColumnTransformer([
        ("codes", prep.OneHotEncoder(categories=[[0, 1], [0, 1, 2], [0, 1]]), [0, 1, 2])
    ])  # fmt: skip
    return {
        "k_means": Case(cluster.KMeans(4, n_init=2, random_state=r)),
        "mini_batch_k_means": Case(cluster.MiniBatchKMeans(4, n_init=2, random_state=r)),
        "gaussian_mixture": Case(mixture.GaussianMixture(3, random_state=r)),
        "gaussian_mixture_diag": Case(
            mixture.GaussianMixture(3, covariance_type="diag", random_state=r),
            options={"score_samples": True},
        ),
        "isolation_forest": Case(ensemble.IsolationForest(n_estimators=8, max_samples=32, random_state=r)),
        "local_outlier_factor": Case(neighbors.LocalOutlierFactor(n_neighbors=5, novelty=True)),
        "one_class_svm": Case(svm.OneClassSVM(nu=0.2)),
        "sgd_one_class_svm": Case(linear_model.SGDOneClassSVM(random_state=r)),
        "pca_ridge": Case(make_pipeline(decomposition.PCA(3), ridge()), Y),
        "kernel_pca": Case(decomposition.KernelPCA(2, kernel="rbf")),
        "incremental_pca": Case(decomposition.IncrementalPCA(3)),
        "truncated_svd": Case(decomposition.TruncatedSVD(3, random_state=r)),
        "standard_scaler_logistic": Case(
            make_pipeline(prep.StandardScaler(), linear_model.LogisticRegression()), TEXT,
            options={"zipmap": False},
        ),
        "scalers_union": Case(
            make_union(prep.MinMaxScaler(), prep.MaxAbsScaler(), prep.RobustScaler()), None
        ),
        "normalizer_l2": Case(make_pipeline(prep.Normalizer(), ridge()), Y),
        "normalizer_l1": Case(make_pipeline(prep.Normalizer("l1"), ridge()), Y),
        "normalizer_max": Case(make_pipeline(prep.Normalizer("max"), ridge()), Y),
        "polynomial_features": Case(
            make_pipeline(prep.PolynomialFeatures(2), ridge()), Y
        ),
        "k_bins_discretizer": Case(
            prep.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
        ),
        "k_bins_ordinal": Case(
            prep.KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")
        ),
        "power_transformer": Case(prep.PowerTransformer()),
        "spline_transformer": Case(prep.SplineTransformer(n_knots=4)),
        "quantile_transformer": Case(prep.QuantileTransformer(n_quantiles=16)),
        "binarizer": Case(prep.Binarizer(threshold=0.1)),
        "function_transformer": Case(prep.FunctionTransformer()),
        "select_k_best": Case(make_pipeline(SelectKBest(k=3), ridge()), Y),
        "one_hot_encoder": Case(
            make_pipeline(categories, ridge()), Y, CODES, "codes"
        ),
        "ordinal_encoder": Case(
            make_pipeline(prep.OrdinalEncoder(), ridge()), Y, CODES, "codes"
        ),
        "column_transformer": Case(
            make_pipeline(
                ColumnTransformer([
                    ("scaled", prep.StandardScaler(), [0, 1, 2]),
                    ("raw", "passthrough", [4]),
                    ("bounded", prep.MinMaxScaler(), [3, 5]),
                ]),
                ensemble.GradientBoostingRegressor(n_estimators=10, random_state=r),
            ), Y
        ),
        "simple_imputer": Case(
            make_pipeline(SimpleImputer(), ridge()), Y, GAPS, "features_with_gaps"
        ),
        "text_columns": Case(
            make_pipeline(
                prep.KBinsDiscretizer(
                    3, encode="ordinal", quantile_method="averaged_inverted_cdf"
                ),
                naive_bayes.GaussianNB(),
            ), TEXT, options={"zipmap": "columns"},
        ),
        "local_outlier_factor_cdist": Case(
            neighbors.LocalOutlierFactor(n_neighbors=5, novelty=True),
            options={"optim": "cdist"},
        ),
        "kernel_pca_cdist": Case(
            decomposition.KernelPCA(2, kernel="rbf"), options={"optim": "cdist"}
        ),
        "label_encoder_target": Case(prep.LabelEncoder(), None, ODD, "labels"),
    }  # fmt: skip


def boosted() -> dict[str, object]:
    """Models of LightGBM and XGBoost, fitted."""
    light = dict(n_estimators=12, num_leaves=8, verbose=-1, random_state=SEED)
    extreme = dict(n_estimators=12, max_depth=3, random_state=SEED)
    groups = [ROWS // 4] * 4
    part = slice(0, ROWS // 2)
    stopped = xgboost.XGBRegressor(**extreme, early_stopping_rounds=2)
    stopped.fit(X[part], Y[part], eval_set=[(X[ROWS // 2 :], Y[ROWS // 2 :])], verbose=False)
    return {
        "lightgbm_regressor": lightgbm.LGBMRegressor(**light).fit(X, Y),
        "lightgbm_regressor_missing": lightgbm.LGBMRegressor(**light).fit(GAPS, Y),
        "lightgbm_quantile": lightgbm.LGBMRegressor(objective="quantile", alpha=0.9, **light).fit(X, Y),
        "lightgbm_poisson": lightgbm.LGBMRegressor(objective="poisson", **light).fit(X, np.exp(Y)),
        "lightgbm_classifier": lightgbm.LGBMClassifier(**light).fit(X, TWO),
        "lightgbm_classifier_three": lightgbm.LGBMClassifier(**light).fit(X, THREE),
        "lightgbm_classifier_text": lightgbm.LGBMClassifier(**light).fit(X, TEXT),
        "lightgbm_classifier_zipmap": lightgbm.LGBMClassifier(**light).fit(X, TWO),
        "lightgbm_categories": lightgbm.LGBMRegressor(min_child_samples=5, **light).fit(
            CODES, Y, categorical_feature=[0, 1]
        ),
        "lightgbm_random_forest": lightgbm.LGBMRegressor(
            boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, **light
        ).fit(X, Y),
        "lightgbm_dart": lightgbm.LGBMRegressor(boosting_type="dart", **light).fit(X, Y),
        "lightgbm_ranker": lightgbm.LGBMRanker(**light).fit(X, THREE, group=groups),
        "xgboost_regressor": xgboost.XGBRegressor(**extreme).fit(X, Y),
        "xgboost_regressor_missing": xgboost.XGBRegressor(**extreme).fit(GAPS, Y),
        "xgboost_regressor_early_stopping": stopped,
        "xgboost_regressor_logistic": xgboost.XGBRegressor(
            objective="reg:logistic", **extreme
        ).fit(X, TWO),
        "xgboost_classifier": xgboost.XGBClassifier(**extreme).fit(X, TWO),
        "xgboost_classifier_three": xgboost.XGBClassifier(**extreme).fit(X, THREE),
        "xgboost_classifier_missing": xgboost.XGBClassifier(**extreme).fit(GAPS, THREE),
        "xgboost_poisson": xgboost.XGBRegressor(objective="count:poisson", **extreme).fit(X, np.exp(Y)),
        "xgboost_ranker": xgboost.XGBRanker(**extreme).fit(X, THREE, group=groups),
        "xgboost_dart": xgboost.XGBRegressor(booster="dart", **extreme).fit(X, Y),
        "xgboost_linear": xgboost.XGBRegressor(booster="gblinear", n_estimators=12).fit(X, Y),
        "xgboost_random_forest": xgboost.XGBRFRegressor(**extreme).fit(X, Y),
    }  # fmt: skip


def cat_boosted() -> dict[str, object]:
    """Models of CatBoost, which writes ONNX itself, fitted."""
    settings = dict(iterations=12, depth=3, verbose=0, random_seed=SEED, allow_writing_files=False)
    two = catboost.CatBoostClassifier(**settings).fit(X, TEXT_TWO)
    three = catboost.CatBoostClassifier(loss_function="MultiClass", **settings).fit(X, THREE)
    return {
        "catboost_regressor": catboost.CatBoostRegressor(**settings).fit(X, Y),
        "catboost_regressor_missing": catboost.CatBoostRegressor(**settings).fit(GAPS, Y),
        "catboost_classifier": two,
        "catboost_classifier_three": three,
    }


def convert_cat_boosted(name: str, model) -> onnx.ModelProto:
    path = FOLDER / f"{name}.onnx"
    model.save_model(str(path), format="onnx")
    proto = onnx.load(path)
    if "missing" in name:
        # CatBoost calls every input `features`.
        proto.graph.input[0].name = "features_with_gaps"
        proto.graph.node[0].input[0] = "features_with_gaps"
    return proto


def convert(case: Case) -> onnx.ModelProto:
    kind = FloatTensorType
    if case.data.dtype == np.int64:
        kind = Int64TensorType
    elif case.double:
        kind = DoubleTensorType
    model = case.model
    is_text = isinstance(model, prep.LabelEncoder)
    if is_text:
        model.fit(case.data)
    else:
        model.fit(case.data, case.target)
    options = {id(model): case.options} if case.options else None
    # Names of dimensions are not part of what the converters promise.
    shape = [None] if case.data.ndim == 1 else [None, case.data.shape[1]]
    return convert_sklearn(
        model,
        initial_types=[(case.name, kind(shape))],
        options=options,
        target_opset={"": case.opset, "ai.onnx.ml": case.ml_opset},
    )


def convert_boosted(name: str, model) -> onnx.ModelProto:
    port = "features_with_gaps" if "missing" in name else "features"
    columns = CODES.shape[1] if "categories" in name else FEATURES
    types = [(port, ToolsFloat([None, columns]))]
    if name.startswith("lightgbm"):
        plain = "classifier" in name and "zipmap" not in name
        zipmap = {"zipmap": False} if plain else {}
        return onnxmltools.convert_lightgbm(
            model, initial_types=types, target_opset=15, **zipmap
        )
    return onnxmltools.convert_xgboost(model, initial_types=types, target_opset=15)


def name_rows(model: onnx.ModelProto):
    """Calls the open dimension of the inputs `rows`, and drops names that hold a version."""
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    model.ClearField("metadata_props")
    model.doc_string = ""
    model.graph.doc_string = ""
    model.graph.name = "classical"


def check(path: Path):
    """The file is small and runs in ONNX Runtime, without any rewriting."""
    assert path.stat().st_size < SIZE_LIMIT, f"{path.name}: {path.stat().st_size} bytes"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {}
    for value in session.get_inputs():
        shape = [5 if not isinstance(d, int) else d for d in value.shape]
        kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64}
        if value.type in kinds:
            feed[value.name] = random.uniform(-1, 1, shape).astype(kinds[value.type])
        else:
            feed[value.name] = random.integers(0, 2, shape)
    session.run(None, feed)


def operators(model: onnx.ModelProto) -> collections.Counter:
    counts = collections.Counter()

    def count(graph):
        for node in graph.node:
            counts[f"{node.domain}.{node.op_type}" if node.domain else node.op_type] += 1
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    count(attribute.g)

    count(model.graph)
    return counts


README = """# Classical models

Models of scikit-learn, LightGBM, XGBoost and CatBoost, fitted to seeded data, as
skl2onnx, onnxmltools and CatBoost write them; the parity tests run each one beside ONNX
Runtime, labels of text included. To make them again: `cargo xtask models --only sklearn`.

An input whose name ends with `_with_gaps` gets missing values in the tests.

| file | converter | operator sets | bytes | operators |
|---|---|---|---|---|
{rows}

## Not here

These the converter refuses, or ONNX Runtime what it writes, or it is wrong:

| model | why |
|---|---|
{failed}

## All operator types, with counts

{union}
"""


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].replace(str(FOLDER) + "/", "").replace("|", " ")[:180]


def main():
    warnings.filterwarnings("ignore")
    FOLDER.mkdir(exist_ok=True)
    rows, union = [], collections.Counter()
    failed = [f"| {name} | {reason} |" for name, reason in WRONG.items()]
    makers = {
        name: ("skl2onnx", lambda case=case: convert(case))
        for group in (regressors(), classifiers(), others())
        for name, case in group.items()
    }
    makers |= {
        name: ("onnxmltools", lambda name=name, model=model: convert_boosted(name, model))
        for name, model in boosted().items()
    }
    makers |= {
        name: ("CatBoost", lambda name=name, model=model: convert_cat_boosted(name, model))
        for name, model in cat_boosted().items()
    }
    for name, (exporter, make) in makers.items():
        path = FOLDER / f"{name}.onnx"
        try:
            model = make()
            name_rows(model)
            path.write_bytes(model.SerializeToString(deterministic=True))
            check(path)
        except Exception as error:
            path.unlink(missing_ok=True)
            failed.append(f"| {name} | {first_line(error)} |")
            continue
        counts = operators(model)
        union += counts
        opset = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
        names = ", ".join(sorted(counts))
        rows.append(f"| `{path.name}` | {exporter} | {opset} | {path.stat().st_size} | {names} |")
    used = ", ".join(f"{op} {count}" for op, count in sorted(union.items()))
    text = README.format(rows="\n".join(rows), failed="\n".join(failed), union=used)
    (FOLDER / "README.md").write_text(text)
    print(f"{len(rows)} models, {len(failed)} refused")


if __name__ == "__main__":
    main()
