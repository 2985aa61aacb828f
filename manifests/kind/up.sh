#!/usr/bin/env bash
# A kind cluster with all that Trimtab stands on, Trimtab itself, and the bike-demand example. Needs docker, kind, kubectl, helm and
# Python 3.11; takes about ten minutes, most of it downloads. It may be run again: what is there already is left or brought up to date.
set -euo pipefail
cd "$(dirname "$0")/../.."

CERT_MANAGER=v1.17.0
GATEWAY_API=v1.5.1
ENVOY_GATEWAY=v1.8.1
KSERVE=v0.21.0
PYTHON=${PYTHON:-python3.11}
CLUSTER=trimtab
SYSTEM=trimtab-system

for tool in docker kind kubectl helm "$PYTHON"; do
    command -v "$tool" >/dev/null || { echo "manifests/kind/up.sh: $tool is not on the PATH" >&2; exit 1; }
done
# A kubeconfig of its own: whatever cluster yours points to is never touched.
export KUBECONFIG="$PWD/build/kind.kubeconfig"
mkdir -p build

echo "== the cluster"
kind get clusters | grep -qx "$CLUSTER" || kind create cluster --config kind-config.yaml --wait 2m
kind export kubeconfig --name "$CLUSTER" --kubeconfig "$KUBECONFIG"

echo "== cert-manager $CERT_MANAGER, Gateway API $GATEWAY_API, Envoy Gateway $ENVOY_GATEWAY"
helm upgrade --install cert-manager cert-manager --repo https://charts.jetstack.io --version "$CERT_MANAGER" \
    --namespace cert-manager --create-namespace --set crds.enabled=true --wait
kubectl apply --server-side --force-conflicts \
    -f "https://github.com/kubernetes-sigs/gateway-api/releases/download/$GATEWAY_API/standard-install.yaml"
# Without the Gateway API that Envoy Gateway would bring: KServe names its own version.
helm template eg-crds oci://docker.io/envoyproxy/gateway-crds-helm --version "$ENVOY_GATEWAY" \
    --set crds.gatewayAPI.enabled=false --set crds.envoyGateway.enabled=true | kubectl apply --server-side --force-conflicts -f -
helm upgrade --install eg oci://docker.io/envoyproxy/gateway-helm --version "$ENVOY_GATEWAY" \
    --namespace envoy-gateway-system --create-namespace --skip-crds --wait
kubectl apply -f manifests/kind/gateway.yaml

echo "== KServe $KSERVE: Standard mode behind the Gateway API"
helm upgrade --install kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version "$KSERVE" --namespace kserve --wait
helm upgrade --install kserve-resources oci://ghcr.io/kserve/charts/kserve-resources --version "$KSERVE" --namespace kserve --wait \
    --set kserve.controller.deploymentMode=Standard \
    --set kserve.controller.gateway.ingressGateway.enableGatewayApi=true \
    --set kserve.controller.gateway.ingressGateway.className=envoy \
    --set kserve.controller.gateway.ingressGateway.kserveGateway=kserve/kserve-ingress-gateway

echo "== Trimtab"
"$PYTHON" images/build.py --exists "docker image inspect {tag}"
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' trimtab/__init__.py)
for image in controller training predictor monitor detectors explainer fetch; do
    kind load docker-image "trimtab/$image:$version" --name "$CLUSTER"
done
kubectl create namespace "$SYSTEM" --dry-run=client -o yaml | kubectl apply -f -
kubectl label --overwrite namespace "$SYSTEM" pod-security.kubernetes.io/enforce=restricted
# Recorded traffic is played on this cluster, so that the monitor believes the times that it carries.
helm upgrade --install trimtab helm/trimtab --namespace "$SYSTEM" --set monitor.replaying=true --wait --timeout 10m

echo "== bike-demand"
test -f build/bike-demand/bike.csv || "$PYTHON" examples/bike-demand/prepare.py
kubectl apply -f manifests/kind/data.yaml
kubectl -n bike-demand rollout status deployment/bike-data --timeout 2m
kubectl -n bike-demand exec -i deployment/bike-data -- python -c \
    'import sys; open("/data/bike.csv", "wb").write(sys.stdin.buffer.read())' <build/bike-demand/bike.csv
sed -e 's|uri: .*bike.csv|uri: http://bike-data.bike-demand.svc:8000/bike.csv|' \
    -e 's|metadata: {name: bike-demand}|metadata: {name: bike-demand, namespace: bike-demand, annotations: {trimtab.dev/first-cut: "2011-07-01"}}|' examples/bike-demand/model.yaml | kubectl apply -f -

cat <<TEXT

export KUBECONFIG=$KUBECONFIG
kubectl get ttm,ttr -n bike-demand --watch
curl -H 'Host: bike-demand-bike-demand.example.com' http://localhost:8080/v2/models/bike-demand
TEXT
