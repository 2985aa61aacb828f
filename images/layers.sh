#!/bin/sh
# Which packages go into which layer, worked out from the one lock. What predictor, controller, training and monitor all
# need is the layer `numbers`; what controller and training need besides it is `tracking` (MLflow is most of it): stored and
# pulled once. Each image's own list is the whole of its extra, hashes included; installing it on top of the
# shared layers adds what is missing and nothing else.
set -eu
lock=$1 out=$2
mkdir -p "$out"
for extra in controller training monitor serving detectors explainer fetch; do
    uv export --quiet --project "$lock" --frozen --no-dev --no-emit-project --no-annotate --no-header --extra "$extra" |
        sed -e ':join' -e '/\\$/{N;s/ *\\\n */ /;b join' -e '}' | LC_ALL=C sort >"$out/$extra.txt"
done
LC_ALL=C comm -12 "$out/controller.txt" "$out/training.txt" >"$out/tracking.txt"
LC_ALL=C comm -12 "$out/tracking.txt" "$out/monitor.txt" | LC_ALL=C comm -12 - "$out/serving.txt" >"$out/numbers.txt"
