"""The ports of a cluster put together: which adapter gets the cache, which asks the API server itself, and what they share."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pipelines import IR
from trimtab.audit.record import AuditRecord
from trimtab.control.gather import Ports
from trimtab.control.ports import RunRequest
from trimtab.errors import TrimtabError
from trimtab.package import COMPILED
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cache import Cache
from trimtab.platforms.kubernetes.explainer import Explainers
from trimtab.platforms.kubernetes.identity import Identities, account
from trimtab.platforms.kubernetes.job import job_name
from trimtab.platforms.kubernetes.job_runner import Find, JobRunner
from trimtab.platforms.kubernetes.kfp import KfpRunner, run_id_of
from trimtab.platforms.kubernetes.kfp_client import TOKEN_FILE, Endpoint, KfpClient
from trimtab.platforms.kubernetes.kfp_package import Upload, upload
from trimtab.platforms.kubernetes.ledger import KubernetesLedger
from trimtab.platforms.kubernetes.monitor import ClusterMonitor
from trimtab.platforms.kubernetes.objects import KubernetesObjects
from trimtab.platforms.kubernetes.places import KubernetesPlaces
from trimtab.platforms.kubernetes.runner import KubernetesRunner, TellingRunner
from trimtab.platforms.kubernetes.runs import Runs
from trimtab.platforms.kubernetes.serving import KubernetesServing
from trimtab.platforms.kubernetes.traffic import GatewayTraffic
from trimtab.platforms.packages import MlflowPackages
from trimtab.platforms.registry import MlflowRegistry
from trimtab.platforms.signer import Signer
from trimtab.release import Release, ServingPlan
from trimtab.spec import ExplainerSummary, Model, MonitoringSummary, Version
from trimtab.status import RunLink


class Settings(Struct, frozen=True):
    """What an installation says; addresses are as seen from the controller, empty ones are not there."""

    tracking_uri: str
    monitor_url: str
    token_file: Path
    cache: Path
    runs: Runs = Runs()
    signing_key: Path | None = None
    kfp_token_file: Path = TOKEN_FILE
    prometheus_url: str = ""
    signing_certificate: str = ""


class Wired(Struct, frozen=True):
    """The ports, and what is told beside them: of a Model its monitoring, explainer and gateway, of a Release its run."""

    ports: Ports
    summary: Callable[[Model], MonitoringSummary | None]
    link: Callable[[Release], RunLink | None]
    traffic_problem: Callable[[Model], str]
    explainer: Callable[[Model], ExplainerSummary | None]


class Serving(KubernetesServing):
    """KServe, with a ServiceAccount for the predictors before they start, and an explainer beside them where one is asked for."""

    def __init__(self, api: Api, fetch: Callable[[str, Version], Path], cache: Cache) -> None:
        """`fetch` is the registry's."""
        super().__init__(api, fetch, reader=cache)
        self._identities = Identities(api, cache)
        self.explainers = Explainers(api, cache)

    def apply(self, plan: ServingPlan) -> None:
        """One step towards the plan."""
        if plan.arms:
            self._identities.ensure(plan.model)
        super().apply(_named(plan))
        self.explainers.ensure(plan.model)

    def settled(self, plan: ServingPlan) -> bool:
        """Whether nothing is left to do for the plan."""
        named = super().settled(_named(plan)) and (not plan.arms or self._identities.kept(plan.model))
        return named and self.explainers.kept(plan.model)


def _named(plan: ServingPlan) -> ServingPlan:
    """The plan of a Model that names its predictors' ServiceAccount, as all do here."""
    spec = plan.model.spec
    serving = replace(spec.serving, service_account=account(plan.model))
    return replace(plan, model=replace(plan.model, spec=replace(spec, serving=serving)))


def _runners(api: Api, find: Find, settings: Settings, fence: Callable[[], None], packages: MlflowPackages) -> dict[str, TellingRunner]:
    """The runners that this installation has, by the name in a Model's `training.runner`."""
    training, kfp = settings.runs.training, settings.runs.kfp
    runners: dict[str, TellingRunner] = {"job": JobRunner(api, find, training, settings.tracking_uri)}
    if kfp.url:
        client, own = KfpClient(Endpoint(kfp.url, token_file=settings.kfp_token_file), fence), upload(IR, training)

        def compiled(request: RunRequest) -> Upload:
            if request.pipeline is None:
                return own
            folder, _ = packages.fetch(request.pipeline, request.model.spec.pipeline_policy.keys)
            return upload(folder / COMPILED, training, request.pipeline)

        runners["kfp"] = KfpRunner(client, api, find, kfp, compiled, settings.tracking_uri, training.image)
    return runners


def make_ports(
    api: Api,
    cache: Cache,
    objects: KubernetesObjects,
    settings: Settings,
    fence: Callable[[], None],
    recorded: Callable[[AuditRecord], None] | None = None,
) -> Wired:
    """All adapters of the controller; nothing is asked yet. `recorded` hears of each audit record."""

    def find(release_uid: str) -> tuple[str, str, str] | None:
        for release in objects.all_of(Release):
            if release.metadata.uid == release_uid:
                model = objects.get(Model, release.metadata.namespace, release.spec.model)
                return release.metadata.namespace, release.name, model.spec.training.runner if model else ""
        return None

    signer = Signer(settings.signing_key, settings.signing_certificate) if settings.signing_key else None
    registry = MlflowRegistry(settings.tracking_uri, settings.cache, signer)
    serving = Serving(api, registry.fetch, cache)
    packages = MlflowPackages(settings.tracking_uri, settings.cache / "packages")
    runner = KubernetesRunner(_runners(api, find, settings, fence, packages), find)
    monitor = ClusterMonitor(settings.monitor_url, settings.token_file)
    traffic = GatewayTraffic(api, settings.prometheus_url)
    ledger = KubernetesLedger(api, settings.signing_key, recorded=recorded)
    places = KubernetesPlaces(api, settings.runs.training)
    ports = Ports(objects, ledger, runner, serving, traffic, registry, monitor, packages, places)

    def link(release: Release) -> RunLink | None:
        attempt = release.status.attempt
        if not attempt:
            return None
        try:
            logs = runner.where(release.metadata.uid, attempt)
        except TrimtabError:
            return None
        found = find(release.metadata.uid)
        kind = "KubeflowPipelinesRun" if found and found[2] == "kfp" else "Job"
        name = run_id_of(release.metadata.uid, attempt) if kind != "Job" else job_name(release.name, attempt)
        return RunLink(kind, name, logs) if logs else None

    def traffic_problem(model: Model) -> str:
        return traffic.problems.get(f"{model.metadata.namespace}/{model.name}", "")

    return Wired(ports, monitor.summary, link, traffic_problem, serving.explainers.summary)
