"""The order in which KServe's canaries are moved so that no request fails. Pure: from what is seen to the next step, without memory.

Measured (a promotion in one step always fails requests, for KServe deletes the old Service before it rewrites the route):
a version is deployed at 0%; its weight grows; a weight goes to 1% before 0%, for one that goes straight to 0 under load costs a few
requests; the stable version changes places with a canary only when the route gives it nothing; a version is dropped only when
the route names it with no weight, and has done so for a moment.
"""

from collections.abc import Mapping

from trimtab.platforms.kubernetes.isvc import Shape


def next_shape(wanted: Mapping[str, int], shape: Shape | None, route: Mapping[str, int], settled: bool) -> Shape | None:
    """One step from `shape` towards `wanted` (percent by version, the one to be stable first); None: no InferenceService at all.

    `route` has the weights that are read back (percent by version, without those that have none), `settled` says whether
    the gateway has taken them over. Called again and again it ends in a shape that it returns unchanged.
    """
    if not wanted:
        return None
    first = next(iter(wanted))
    if shape is None:
        return Shape(first, tuple((version, percent) for version, percent in wanted.items() if version != first))
    targets = _targets(wanted, shape, route, settled)
    moved = Shape(shape.stable, tuple((version, percent) for version, percent in targets.items() if version != shape.stable))
    if moved != shape:
        return moved
    declared = shape.declared
    heir = first if shape.stable in wanted or route.get(first) else max(wanted, key=lambda version: wanted[version])
    if heir != shape.stable and settled and not declared[shape.stable] and not route.get(shape.stable) and route.get(heir):
        return Shape(heir, ((shape.stable, 0), *(canary for canary in shape.canaries if canary[0] != heir)))
    kept = [canary for canary in shape.canaries if canary[0] in wanted or canary[1] or route.get(canary[0]) or not settled]
    return Shape(shape.stable, tuple(kept))


def _targets(wanted: Mapping[str, int], shape: Shape, route: Mapping[str, int], settled: bool) -> dict[str, int]:
    """The percent to declare now for every version that is there or shall be."""
    declared = shape.declared
    everyone = [*declared, *(version for version in wanted if version not in declared)]
    targets = {version: wanted.get(version, 0) for version in everyone}
    if not any(targets.values()):
        targets[next(iter(wanted))] = 100
    for version in everyone:
        seen = route.get(version, 0)
        at_rest = seen == 0 or (declared.get(version, 0) <= 1 and seen <= 1 and settled)
        if not targets[version] and declared.get(version) and not at_rest:
            targets[version] = 1
            targets[max(targets, key=lambda name: targets[name])] -= 1
    return targets
