"""A search over variants by Optuna's TPE, for several objectives at once; what is refused is pruned."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.errors import EdgekdError
from edgekd.sweep import Axis, Choice, Sweep, Variant
from edgekd.sweep_results import BETTER, Objective, Outcome, spoken

# Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; for several objectives Ozaki et al. 2022.


def search(
    sweep: Sweep,
    objectives: Sequence[Objective],
    count: int,
    at_once: int,
    storage: str,
    seed: int,
    run: Callable[[Sequence[Variant]], Sequence[Outcome]],
) -> dict[str, dict[str, float]]:
    """Let `run` have `count` variants in all, `at_once` at a time: what an earlier search of this name in `storage`, a
    database's URL, has tried counts, and is run again only as far as nothing of it is kept.

    Returns how much each field matters to each objective, by Optuna's fANOVA (Hutter et al. 2014); where that cannot
    tell, an objective is left out. Raises EdgekdError where Optuna is not installed, or the database cannot be used.
    """
    optuna = _imported()
    ways = ["maximize" if BETTER[name] > 0 else "minimize" for name in objectives]
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=sweep.name,
            load_if_exists=True,
            directions=ways,
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        )
    except Exception as error:  # of SQLAlchemy, of the database's driver, of Optuna
        raise EdgekdError(
            f"the search cannot be kept in {storage}: {error}", "Name another: --storage sqlite:///search.db."
        ) from None
    if [way.name.lower() for way in study.directions] != ways:
        raise EdgekdError(
            f"a search called {sweep.name} with other objectives is kept in {storage}", "Give this one a --name."
        )
    for trial in study.trials:  # of a search that was stopped
        if not trial.state.is_finished():
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    done = [trial for trial in study.trials if trial.state != optuna.trial.TrialState.FAIL]
    if done:
        run([Variant(trial.number + 1, _values(sweep.axes, trial.params)) for trial in done])
    left = count - len(done)
    while left > 0:
        trials = [study.ask() for _ in range(min(at_once, left))]
        variants = [Variant(trial.number + 1, _suggested(sweep.axes, trial)) for trial in trials]
        for trial, outcome in zip(trials, run(variants), strict=True):
            figures = [outcome.figure(name) for name in objectives]
            if outcome.failed:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            elif None in figures:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, figures)
        left -= len(trials)
    return _importance(optuna, study, objectives)


def default_storage(folder: Path) -> str:
    """A file of SQLite beside the results."""
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(folder / 'search.db').absolute()}"


def _suggested(axes: Sequence[Axis], trial: Any) -> dict[str, Any]:
    """A value of each field, as the sampler has it."""
    found: dict[str, Any] = {}
    for axis in axes:
        if isinstance(axis, Choice):
            trial.suggest_categorical(axis.field, [spoken(value) for value in axis.values])
        elif axis.whole:
            trial.suggest_int(axis.field, int(axis.low), int(axis.high), log=axis.log)
        else:
            trial.suggest_float(axis.field, axis.low, axis.high, log=axis.log)
    found |= _values(axes, trial.params)
    return found


def _values(axes: Sequence[Axis], params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters as values. Those of a choice are kept as text: a database takes no mappings."""
    found = {}
    for axis in axes:
        given = params.get(axis.field)
        if isinstance(axis, Choice):
            by_text = {spoken(value): value for value in axis.values}
            if given not in by_text:
                raise EdgekdError(
                    f"the search that is kept has tried {axis.field} {given}, which is no choice now",
                    "Give this one a --name of its own.",
                )
            given = by_text[given]
        found[axis.field] = given
    return found


def _importance(optuna: Any, study: Any, objectives: Sequence[Objective]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for number, name in enumerate(objectives):
        try:
            shares = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
                target=lambda trial, number=number: trial.values[number],
            )
        except (ValueError, RuntimeError, ImportError):  # too few trials, or all alike
            continue
        found[name] = dict(shares)
    return found


def _imported() -> Any:
    try:
        import optuna
    except ImportError:
        raise EdgekdError("optuna is not installed", "pip install 'edgekd[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
