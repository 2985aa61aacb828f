"""The kinds of object that Trimtab touches on a cluster, one constant each, and where the API server keeps them."""

from typing import Any

from msgspec import Struct

GROUP = "trimtab.dev"
MANAGER = "trimtab"
MODEL_LABEL = "trimtab.dev/model"
RELEASE_LABEL = "trimtab.dev/release"
RELEASE_UID_LABEL = "trimtab.dev/release-uid"
ATTEMPT_LABEL = "trimtab.dev/attempt"
VERSION_LABEL = "trimtab.dev/version"
MANAGED_BY = {"app.kubernetes.io/managed-by": MANAGER}


class Resource(Struct, frozen=True):
    """A kind of object: its group (empty: core), version, plural and kind."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What an object of it has as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path on the API server: of all objects, of a namespace's, or of one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return root + place + f"/{self.plural}" + (f"/{name}" if name else "") + (f"/{subresource}" if subresource else "")


def owner(resource: Resource, name: str, uid: str, *, controller: bool = True) -> dict[str, Any]:
    """An ownerReference: what carries it is collected with its owner."""
    reference = {"apiVersion": resource.api_version, "kind": resource.kind, "name": name, "uid": uid}
    return {**reference, "controller": controller, "blockOwnerDeletion": False}


MODELS = Resource(GROUP, "v1alpha1", "models", "Model")
RELEASES = Resource(GROUP, "v1alpha1", "releases", "Release")
ACTIONS = Resource(GROUP, "v1alpha1", "releaseactions", "ReleaseAction")
PIPELINE_ROLLOUTS = Resource(GROUP, "v1alpha1", "pipelinerollouts", "PipelineRollout")
AUDIT = Resource(GROUP, "v1alpha1", "auditentries", "AuditEntry")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
JOBS = Resource("batch", "v1", "jobs", "Job")
HPAS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
SERVING_RUNTIMES = Resource("serving.kserve.io", "v1alpha1", "servingruntimes", "ServingRuntime")
CLUSTER_SERVING_RUNTIMES = Resource("serving.kserve.io", "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", namespaced=False)
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
BACKEND_TRAFFIC_POLICIES = Resource("gateway.envoyproxy.io", "v1alpha1", "backendtrafficpolicies", "BackendTrafficPolicy")
GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
WORKFLOWS = Resource("argoproj.io", "v1alpha1", "workflows", "Workflow")
