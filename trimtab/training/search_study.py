"""Optuna's side of a search: what to try next, given what was tried. Nothing else speaks to Optuna.

The study lives in memory and is made anew from the trials, so that nothing of a killed process is left in it; each trial has a sampler with
a seed of its own. What a trial tries so follows from (seed, shard, its number, the trials before it) alone.
"""

import warnings
from typing import Any

from trimtab.spec import Estimator as Name
from trimtab.training.estimators.base import Choice, Number, Settings, Space
from trimtab.training.trials import Trial

_RANDOM = 8
_STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


class Study:
    """TPE over a space whose settings depend on the estimator; `common` are the names that every estimator has."""

    def __init__(self, spaces: dict[Name, Space], common: Space, seed: int, shard: int) -> None:
        """`spaces` are by estimator, in the order in which they are allowed, the common names among them."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spaces, self._common, self._seed, self._shard = spaces, common, seed, shard
        self._study = optuna.create_study()
        self._asked: Any = None

    def ask(self, number: int, given: tuple[Name, Settings] | None = None) -> tuple[Name, dict[str, Any]]:
        """The estimator and settings of trial `number`; `given` ones are taken as they are."""
        self._study.sampler = _sampler(self._seed, self._shard, number)
        if given is not None:
            self._study.enqueue_trial(self._flat(*given))
        self._asked = self._study.ask()
        name: Name = self._asked.suggest_categorical("estimator", tuple(self._spaces))
        return name, {key: _suggest(self._asked, self._called(name, key), within) for key, within in self._spaces[name].items()}

    def tell(self, trial: Trial) -> None:
        """How the trial that was asked for last ended."""
        from optuna.trial import TrialState

        for step, mean in enumerate(_means(trial)):
            self._asked.report(mean, step)
        self._study.tell(self._asked, _value(trial), TrialState[_STATES[trial.state]])

    def recall(self, trial: Trial) -> None:
        """Take in a trial that was finished before; it then counts as if it had been asked for and told."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import TrialState, create_trial

        space = self._spaces[trial.estimator]
        known = {self._called(trial.estimator, key): _distribution(within) for key, within in space.items()}
        past = create_trial(
            state=TrialState[_STATES[trial.state]],
            value=_value(trial),
            params=self._flat(trial.estimator, {key: trial.parameters[key] for key in space}),
            distributions={"estimator": CategoricalDistribution(tuple(self._spaces)), **known},
            intermediate_values=dict(enumerate(_means(trial))),
        )
        self._study.add_trial(past)

    def _called(self, estimator: Name, key: str) -> str:
        return key if key in self._common else f"{estimator}.{key}"

    def _flat(self, estimator: Name, settings: Settings) -> dict[str, Any]:
        return {"estimator": estimator, **{self._called(estimator, key): value for key, value in settings.items()}}


def _value(trial: Trial) -> float | None:
    return trial.loss if trial.state == "complete" else None


def _means(trial: Trial) -> list[float]:
    return [sum(trial.losses[:count]) / count for count in range(1, len(trial.losses) + 1)]


def _sampler(seed: int, shard: int, number: int) -> Any:
    """TPE that models the settings of each estimator together."""
    import numpy as np
    import optuna

    own = int(np.random.SeedSequence((seed, shard, number)).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=own, n_startup_trials=_RANDOM, multivariate=True, group=True)


def _distribution(within: Number | Choice) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(within, Choice):
        return CategoricalDistribution(within.options)
    if within.integer:
        return IntDistribution(int(within.low), int(within.high), log=within.log)
    return FloatDistribution(within.low, within.high, log=within.log)


def _suggest(trial: Any, name: str, within: Number | Choice) -> Any:
    if isinstance(within, Choice):
        return trial.suggest_categorical(name, within.options)
    if within.integer:
        return trial.suggest_int(name, int(within.low), int(within.high), log=within.log)
    return trial.suggest_float(name, within.low, within.high, log=within.log)
