#!/usr/bin/env bash
# Deletes the kind cluster that up.sh created, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/../.."
kind delete cluster --name trimtab --kubeconfig build/kind.kubeconfig
rm -f build/kind.kubeconfig
