"""skops files that say nothing of the moment: equal pipelines make equal bytes, so that equal versions have equal digests.

skops names objects by their address in memory and stamps its archive with the time. Both are replaced: by the order in which objects
are named, and by the first moment that an archive can tell.
"""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

_TREE = "schema.json"
_ARRAY = re.compile(r"^[0-9]+\.np[yz]$")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_skops(pipeline: Any, path: Path) -> None:
    """Write a scikit-learn pipeline that skops can load."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(pipeline))) as found:
        tree = json.loads(found.read(_TREE))
        arrays = {name: found.read(name) for name in found.namelist() if name != _TREE}
    named: dict[str, str] = {}
    _rename(tree, {}, named)
    with zipfile.ZipFile(path, "w") as archive:
        for old, new in named.items():
            archive.writestr(zipfile.ZipInfo(new, _EPOCH), arrays[old])
        archive.writestr(zipfile.ZipInfo(_TREE, _EPOCH), json.dumps(tree, indent=1))


def _rename(node: Any, numbers: dict[int, int], arrays: dict[str, str]) -> None:
    """Number objects and arrays in the order in which the tree names them."""
    for part in node if isinstance(node, list) else node.values() if isinstance(node, dict) else ():
        _rename(part, numbers, arrays)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("__id__"), int):
        node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
    name = node.get("file")
    if isinstance(name, str) and _ARRAY.match(name):
        node["file"] = arrays.setdefault(name, f"{len(arrays)}{Path(name).suffix}")
