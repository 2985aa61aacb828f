"""Every file that is made from the chart, and what the chart is made from: one source for each.

The chart is the source of what is installed; `manifests/base` is its rendering with fixed values, for those who use
`kubectl apply -k`. The other way round, bases patched into a chart, would hide the chart's conditions. The objects that other
generators and rooms write (`manifests/crds`, `manifests/admission`, `manifests/serving`) are copied into the chart, because Helm
reads nothing outside it. `python helm/generate.py` writes all of it; rendering needs `helm` on the PATH.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "trimtab"
MANIFESTS = ROOT / "manifests"
COPIED = ("crds", "admission", "serving")
NAMESPACE = "trimtab-system"
HEADER = "# Made from helm/trimtab by `python helm/generate.py`: edit the chart.\n"
VALUES: dict[str, Any] = {
    "signing": {
        "existingSecret": "trimtab-signing",
        "certificate": "-----BEGIN CERTIFICATE-----\nmanifests/default puts the certificate here\n-----END CERTIFICATE-----\n",
    }
}
_KEY = re.compile(r"^( *)([A-Za-z]+):")
_LEAVES = ("resources",)


def copies() -> dict[Path, str]:
    """What the chart holds of other rooms' objects, by path."""
    return {
        CHART / "files" / room / source.name: source.read_text()
        for room in COPIED
        for source in sorted((MANIFESTS / room).glob("*.yaml"))
        if source.name != "kustomization.yaml"
    }


def readme() -> dict[Path, str]:
    """The chart's README, with a table of all values and what their comments say."""
    text = (CHART / "values.yaml").read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    said = comments(text)
    lines = [
        f"# {chart['name']} {chart['version']}\n",
        f"{chart['description']}\n",
        "Made from `values.yaml` by `python helm/generate.py`; how to install is told in [docs/install.md](../../docs/install.md).\n",
        "| value | default | |",
        "|---|---|---|",
    ]
    for path, default in leaves(yaml.safe_load(text)):
        about = said.get(path) or said.get(("controller", path[-1]), "")
        lines.append(f"| `{'.'.join(path)}` | `{json.dumps(default, ensure_ascii=False)}` | {about.replace('|', chr(92) + '|')} |")
    return {CHART / "README.md": "\n".join(lines) + "\n"}


def comments(text: str) -> dict[tuple[str, ...], str]:
    """The comment above each key of values.yaml."""
    said: dict[tuple[str, ...], str] = {}
    stack: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        found = _KEY.match(line)
        if stripped.startswith("#"):
            above.append(stripped.lstrip("# "))
        elif found:
            stack = [*stack[: len(found[1]) // 2], found[2]]
            if above:
                said[tuple(stack)] = " ".join(above)
            above = []
        else:
            above = []
    return said


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every value that a person may set, with its default."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in _LEAVES:
            found += leaves(value, (*path, name))
        else:
            found.append(((*path, name), value))
    return found


def render(values: dict[str, Any], *flags: str) -> dict[str, list[dict[str, Any]]]:
    """The chart's objects by the template that they come from; raises CalledProcessError where Helm refuses."""
    command = ["helm", "template", "trimtab", str(CHART), "--namespace", NAMESPACE, "--values", "-", *flags]
    text = subprocess.run(command, input=yaml.safe_dump(values), check=True, capture_output=True, text=True).stdout
    found: dict[str, list[dict[str, Any]]] = {}
    for part in re.split(r"^---$", text, flags=re.MULTILINE):
        source = re.search(r"^# Source: trimtab/templates/(.+)\.yaml$", part, re.MULTILINE)
        body = yaml.safe_load(part)
        if source and body:
            found.setdefault(source[1], []).append(body)
    return found


def bases() -> dict[Path, str]:
    """manifests/base: the rendering without what is Helm's own; and manifests/uninstall, which is a hook there."""
    rendered = render(VALUES)
    uninstall = rendered.pop("uninstall")
    found = {MANIFESTS / "base" / f"{name}.yaml": _text(bodies) for name, bodies in sorted(rendered.items())}
    found[MANIFESTS / "base" / "kustomization.yaml"] = _kustomization([f"{name}.yaml" for name in sorted(rendered)])
    found[MANIFESTS / "uninstall" / "uninstall.yaml"] = _text(uninstall)
    found[MANIFESTS / "uninstall" / "kustomization.yaml"] = _kustomization(["uninstall.yaml"])
    return found


def _kustomization(resources: list[str]) -> str:
    return HEADER + yaml.safe_dump(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}, sort_keys=False
    )


def _text(bodies: list[dict[str, Any]]) -> str:
    return HEADER + "".join("---\n" + yaml.dump(_plain(body), Dumper=_Dumper, sort_keys=False, width=140) for body in bodies)


class _Dumper(yaml.SafeDumper):
    """Text of several lines stays such, so that a change of one line is one in the file."""


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
)


def _plain(body: Any) -> Any:
    """Without Helm's own labels and annotations."""
    if isinstance(body, list):
        return [_plain(item) for item in body]
    if not isinstance(body, dict):
        return body
    kept = {key: _plain(value) for key, value in body.items() if not str(key).startswith("helm.sh/")}
    if kept.get("app.kubernetes.io/managed-by") == "Helm":
        kept["app.kubernetes.io/managed-by"] = "kustomize"
    if body.get("annotations") and not kept.get("annotations"):
        kept.pop("annotations")
    return kept


def write(files: dict[Path, str], *whole: Path) -> None:
    """Write the files; whatever else lies in the folders `whole` goes."""
    for folder in whole:
        shutil.rmtree(folder, ignore_errors=True)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def main() -> int:
    """Write everything; exit code 1 where there is no `helm` to render with."""
    write(copies(), CHART / "files")
    write(readme())
    if not shutil.which("helm"):
        print("helm/generate.py: manifests/base was not made: helm is not on the PATH", file=sys.stderr)
        return 1
    write(bases(), MANIFESTS / "base", MANIFESTS / "uninstall")
    return 0


if __name__ == "__main__":
    sys.exit(main())
