"""The trees of an XGBoost model in JSON as one array of nodes, as `trees.c` walks them.

Only kinds of model that training makes are read: whatever else a model.json may hold (linear boosters, dropped trees, several targets,
categories by name, other objectives) is left to XGBoost.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.errors import Unavailable

_MISSING_RIGHT, _SET, _LEAF = 1 << 31, 1 << 30, 1 << 29
_OBJECTIVES = ("reg:squarederror", "binary:logistic", "multi:softprob")


class _Tree(Struct):
    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    default_left: list[int]
    split_type: list[int]
    categories: list[int]
    categories_nodes: list[int]
    categories_segments: list[int]
    categories_sizes: list[int]


class _Categories(Struct, frozen=True):
    feature_segments: tuple[int, ...] = ()


class _Trees(Struct):
    trees: list[_Tree]
    tree_info: list[int]
    cats: _Categories = _Categories()


class _Booster(Struct):
    name: str
    model: _Trees


class _Objective(Struct):
    name: str


class _Parameters(Struct):
    base_score: str
    num_class: str
    num_feature: str


class _Learner(Struct):
    gradient_booster: _Booster
    objective: _Objective
    learner_model_param: _Parameters


class _Model(Struct):
    learner: _Learner


class Forest(Struct, frozen=True):
    """The trees as `trees.c` takes them: `roots`, `depths` and `groups` (the output that a tree adds to) have one entry a tree.

    `base` holds each output's margin before the first tree; `thresholds` each feature's distinct thresholds.
    """

    nodes: Any
    sets: Any
    roots: Any
    depths: Any
    groups: Any
    base: Any
    features: int
    objective: str
    thresholds: list[Any]


def read_forest(path: Path) -> Forest:
    """The trees of an XGBoost model in JSON; raises Unavailable where they are of a kind that is not walked here."""
    import numpy as np

    try:
        learner = msgspec.json.decode(path.read_bytes(), type=_Model).learner
    except msgspec.DecodeError as error:
        msg = f"its trees are of another kind ({error})"
        raise Unavailable(msg) from error
    model, objective = learner.gradient_booster.model, learner.objective.name
    if learner.gradient_booster.name != "gbtree" or objective not in _OBJECTIVES or any(model.cats.feature_segments):
        msg = f"booster {learner.gradient_booster.name!r} with objective {objective!r} is left to XGBoost"
        raise Unavailable(msg)
    outputs = max(int(learner.learner_model_param.num_class), 1)
    score = np.array(msgspec.json.decode(learner.learner_model_param.base_score), dtype=np.float64)
    base = np.log(score) - np.log1p(-score) if objective == "binary:logistic" else score
    features = int(learner.learner_model_param.num_feature)
    nodes, sets, roots, depths = _laid_out(model.trees)
    feature = nodes["what"] & (_LEAF - 1)
    if feature.max(initial=0) >= features or max(model.tree_info, default=0) >= outputs:
        msg = "a tree names a feature or a class that the model does not have"
        raise Unavailable(msg)
    numeric = nodes["what"] & (_LEAF | _SET) == 0
    thresholds = [np.unique(nodes["value"][numeric & (feature == place)]) for place in range(features)]
    groups = np.array(model.tree_info, dtype=np.uint32)
    base = np.broadcast_to(base, outputs).astype(np.float32)
    return Forest(nodes, sets, roots, depths, groups, base, features, objective, thresholds)


def _laid_out(trees: list[_Tree]) -> tuple[Any, Any, Any, Any]:
    """All trees in one array, level by level, two siblings side by side."""
    import numpy as np

    sizes = [len(tree.left_children) for tree in trees]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def joined(name: str, kind: Any) -> Any:
        return np.concatenate([np.array(getattr(tree, name), dtype=kind) for tree in trees])

    shift = np.repeat(starts, sizes)
    left, right = joined("left_children", np.int64), joined("right_children", np.int64)
    leaf = left < 0
    value = joined("split_conditions", np.float32)
    what = joined("split_indices", np.uint32)
    what = np.where(leaf, _LEAF, what | np.where(joined("default_left", bool), 0, _MISSING_RIGHT)).astype(np.uint32)
    sets = _sets(trees, starts, value, what)
    nodes = np.zeros(len(leaf), dtype=[("value", np.float32), ("what", np.uint32), ("left", np.uint32), ("leaf", np.float32)])
    depths = np.zeros(len(trees), dtype=np.uint32)
    level, owner, place = starts, np.arange(len(trees)), 0
    while level.size:
        if place + level.size > len(leaf):
            msg = "a tree's nodes do not make a tree"
            raise Unavailable(msg)
        mine = np.arange(place, place + level.size, dtype=np.uint32)
        place += level.size
        inner = ~leaf[level]
        nodes["value"][mine], nodes["what"][mine] = np.where(inner, value[level], np.inf), what[level]
        nodes["leaf"][mine] = np.where(inner, 0, value[level])
        nodes["left"][mine] = np.where(inner, place + 2 * (np.cumsum(inner) - 1), mine)
        level, owner = level[inner], owner[inner]
        depths[owner] += 1
        level, owner = (np.stack([left[level], right[level]], 1) + shift[level, None]).ravel(), np.repeat(owner, 2)
    return nodes, sets, np.arange(len(trees), dtype=np.uint32), depths


def _sets(trees: list[_Tree], starts: Any, value: Any, what: Any) -> Any:
    """The categories that go right at each categorical node, as bits; the node's value becomes the bits of their place."""
    import numpy as np

    words = [0]
    for start, tree in zip(starts, trees, strict=True):
        for node, first, size in zip(tree.categories_nodes, tree.categories_segments, tree.categories_sizes, strict=True):
            chosen = tree.categories[first : first + size]
            bits = [0] * (max(chosen, default=0) // 32 + 1)
            for category in chosen:
                bits[category // 32] |= 1 << category % 32
            value[start + node : start + node + 1].view(np.uint32)[0] = len(words)
            what[start + node] |= _SET
            words += [len(bits), *bits]
    return np.array(words, dtype=np.uint32)
