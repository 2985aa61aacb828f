"""The kinds of estimator that a search may try: one small file each, behind one protocol (`base.Estimator`)."""

from trimtab.spec import Estimator as Name
from trimtab.training.estimators.base import Estimator
from trimtab.training.estimators.linear import Linear
from trimtab.training.estimators.random_forest import RandomForest
from trimtab.training.estimators.xgboost import XGBoost

ESTIMATORS: dict[Name, Estimator] = {"xgboost": XGBoost(), "random_forest": RandomForest(), "linear": Linear()}
