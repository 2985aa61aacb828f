"""What each stage does in a pipeline's repository. All that runs the repository's own code does it in a process of its own."""

import importlib.util
import re
import subprocess
from functools import partial
from pathlib import Path

from trimtab.ci import compiled, reports, sample
from trimtab.ci.running import Runner
from trimtab.ci.stages import Done, Name, Work, stop
from trimtab.last_words import last_said
from trimtab.package import COMPILED, DIRTY, UNKNOWN
from trimtab.packaging import building
from trimtab.packaging.project import Project
from trimtab.platforms.packages import MlflowPackages
from trimtab.release import CandidateOutcome, InvalidDataOutcome, Outcome
from trimtab.spec import PipelineVersion

_FINDING = re.compile(r"^\S+:\d+:\d+: .+$", re.MULTILINE)
_UNFORMATTED = re.compile(r"^(?:Would reformat: |\s*--> )([^:\n]+)", re.MULTILINE)
"""As ruff says it, older and newer."""
NO_TESTS = 5
"""pytest's exit code where it found none."""


def unpublishable(project: Project) -> str:
    """Why nothing of this work tree can be published, in a sentence; empty where something can."""
    commit = building.commit(project)
    if commit == UNKNOWN:
        return f"{str(project.folder)!r} is no git repository with a commit: a package names the commit that it is made of"
    if commit.endswith(DIRTY):
        short = commit.removesuffix(DIRTY)[:12]
        return f"the work tree is not what its commit {short} says: commit what belongs to the pipeline, ignore what does not"
    return ""


def told(found: Outcome | None, where: str) -> Done:
    """What came of the run on the sample `where`, which must be a candidate."""
    if isinstance(found, InvalidDataOutcome):
        stop(f"the rows of {where} cannot be trained on: {'; '.join(found.checks)}")
    if not isinstance(found, CandidateOutcome):
        why = f"gate {found.gate}: {_number(found.value)} where {_number(found.bound)} is allowed" if found else "it left no outcome"
        stop(f"the run on {where} made no candidate: {why}")
    metric, value = next(iter(found.metrics.items()), ("", 0.0))
    return Done(f"a candidate of {where}" + (f", {metric} {value:.4g}" if metric else ""))


class Course:
    """The stages of one CI run: each leaves below `scratch` what later ones need."""

    def __init__(self, project: Project, runner: Runner, scratch: Path, key: Path | None, tracking_uri: str) -> None:
        """`key` and `tracking_uri` are asked for by the last stage alone."""
        self._project, self._runner, self._scratch = project, runner, scratch
        self._key, self._tracking_uri = key, tracking_uri
        self._image = ""
        self.published: PipelineVersion | None = None

    def work(self) -> dict[Name, Work]:
        """What there is to do, by stage."""
        return {
            "lint": self.lint,
            "tests": self.tests,
            "contract": self.contract,
            "sample": self.sample,
            "image": self.image,
            "package": self.package,
            "publish": self.publish,
        }

    def lint(self) -> Done:
        """Ruff finds nothing, by the repository's own settings, and would format nothing otherwise."""
        self._tool("lint", "ruff")
        checked = self._runner.python("lint", "-m", "ruff", "check", "--no-cache", "--output-format", "concise", ".")
        found = _FINDING.findall(checked.stdout)
        if found:
            stop(f"ruff found {_count(len(found), 'fault')}; the first: {found[0]}")
        formatted = self._runner.python("lint", "-m", "ruff", "format", "--no-cache", "--check", ".")
        if odd := list(dict.fromkeys(_UNFORMATTED.findall(formatted.stdout))):
            stop(f"{_count(len(odd), 'file')} would be formatted otherwise, the first {odd[0]}: run `ruff format`")
        for ended in (checked, formatted):
            if ended.returncode:
                stop(f"ruff cannot run: {_last(ended)}")
        return Done("ruff finds nothing")

    def tests(self) -> Done:
        """The component tests pass, and there are some."""
        self._tool("tests", "pytest")
        results = self._scratch / "tests.xml"
        ended = self._runner.python("tests", "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={results}", self._project.tests)
        cases = reports.cases_of(results)
        bad = [case for case in cases if case.verdict == "failed"]
        if bad:
            fault = next((line for line in bad[0].fault.splitlines() if line), "")
            stop(f"{len(bad)} of {_count(len(cases), 'test')} failed; the first is {bad[0].name}: {fault}", cases)
        if ended.returncode == NO_TESTS:
            stop(f"there is no test in {self._project.tests!r}: a step without a test is not published")
        if ended.returncode:
            stop(f"pytest ended with {ended.returncode}: {_last(ended)}", cases)
        return Done(f"{_count(sum(case.verdict == 'passed' for case in cases), 'test')} passed", cases)

    def contract(self) -> Done:
        """The pipeline compiles, and is one that any Model can be trained by."""
        into = self._compiled.parent
        into.mkdir()
        ended = self._runner.python("contract", "-P", "-m", compiled.__name__, self._project.folder, into)
        if ended.returncode:
            stop(f"the pipeline cannot be compiled: {_last(ended)}")
        found = compiled.read(into)
        if found.faults:
            more = f" (and {len(found.faults) - 1} more, in the log)" if len(found.faults) > 1 else ""
            with self._runner.log("contract").open("a") as log:
                log.writelines(f"{fault}\n" for fault in found.faults)
            stop(f"{found.faults[0]}{more}")
        return Done(f"{_count(found.tasks, 'task')} and {_count(found.parameters, 'parameter')} are as any Model needs them")

    def sample(self) -> Done:
        """The compiled pipeline makes a candidate of the sample's rows."""
        work = self._scratch / "sample"
        document, log = self._project.folder / self._project.sample, self._runner.log("sample")
        ended = self._runner.python("sample", "-P", "-m", sample.__name__, self._compiled, document, work, log)
        if ended.returncode:
            stop(f"the run on {self._project.sample} failed: {_last(ended)}")
        return told(sample.outcome(work), self._project.sample)

    def image(self) -> Done:
        """The image is built, or there already."""
        self._image = building.build_image(self._project, partial(self._runner.command, "image"))
        return Done(self._image)

    def package(self) -> Done:
        """The folder that is signed and published, with the image's SBOM."""
        bill = building.bill(self._project, partial(self._runner.command, "package"))
        package = building.assemble(self._project, self._compiled, self._image, bill, self._scratch / "package")
        return Done(f"{package.name} {package.version} of {package.commit[:12]}")

    def publish(self) -> Done:
        """Signed, and in MLflow for good. What is not in a commit is not published: nobody could read what it was."""
        if fault := unpublishable(self._project):
            stop(fault)
        if self._key is None or not self._tracking_uri:
            stop("publishing needs --key and --tracking-uri")
        store = MlflowPackages(self._tracking_uri, self._scratch / "kept")
        self.published = store.publish(self._scratch / "package", self._key)
        return Done(f"{self.published.name} {self.published.version} with digest {self.published.digest[:12]} is signed and published")

    @property
    def _compiled(self) -> Path:
        return self._scratch / "compiled" / COMPILED

    def _tool(self, stage: str, name: str) -> None:
        if importlib.util.find_spec(name) is None:
            stop(f"the stage {stage} needs {name}, which is not installed in this environment: pip install {name}")


def _last(ended: subprocess.CompletedProcess[str]) -> str:
    return last_said(ended.stdout) or f"it ended with {ended.returncode} and said nothing"


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
