"""Which files a slot can see: the interpreter, the packages that candidates import, and the system
libraries these load.

Only the kinds of files that an import reads are chosen, so that no data set of a package is ever
visible, whatever its name: inside the sandbox it would be a label file. And the fewer and the
smaller files are visible, the less a candidate can tell a later one by leaving some of them in the
page cache (`pinned.py`).
"""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from marl_llm.sandbox.results import SandboxUnavailable

PACKAGES = """
numpy scipy sklearn pandas joblib threadpoolctl dateutil six pytz tzdata narwhals
lightgbm xgboost catboost
""".split()  # noqa: SIM905
"""Import names of what candidates may use, as far as it is installed, and of what that needs to be
imported. What it would merely use where it is found (pyarrow, matplotlib, plotly) stays outside.
"""
_FOLDERS_OF_LIBRARIES = {"sklearn": "scikit_learn"}  # wheels keep shared libraries in NAME.libs
_KINDS = re.compile(r"\.(py|so|css|tpl)$|\.so\.[\d.]+$|^VERSION(\.txt)?$|^_sobol_\w+\.npz$")
_DATA = re.compile(r"\.(csv|tsv|data|arff|parquet|feather|json|pkl|npy|mat|xlsx?)(\.(gz|bz2|xz))?$")
_OWN = __name__.split(".")[0]
_LEFT_OUT = """
tests test idlelib tkinter turtledemo ensurepip lib2to3 pydoc_data distutils site-packages
dist-packages __pycache__
""".split()  # noqa: SIM905
_UNUSED = re.compile(r"^(_tkinter|_curses\w*|_g?dbm|_crypt|nis|readline|_(xx)?test\w*)\.[\w.-]*so$")
_TAG = sys.implementation.cache_tag
_NAME_ENDS = re.compile(r"[\s\[<>=!~;(]")
_ZONES = Path("/usr/share/zoneinfo")
_ZONE_COPIES = frozenset({"posix", "right"})
_LOCALES = (Path("/usr/lib/locale/C.utf8"), Path("/usr/lib/locale/C.UTF-8"))
_LOADERS = ("/lib64/ld-*.so*", "/lib/ld-*.so*")
_LOAD_ALL = """
import ctypes, json, os, sys
for path in json.load(sys.stdin):
    try:
        ctypes.CDLL(path, os.RTLD_LAZY)
    except OSError:
        pass  # a plug-in for hardware or a library that is not here
found = {line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "/" in line}
print(json.dumps(sorted(path for path in found if ".so" in path)))
"""


def visible_files(packages: Iterable[str]) -> list[Path]:
    """The interpreter's files and those of `PACKAGES` and other packages, by the paths under which
    they are imported; libraries of the system are left to `system_libraries`.

    Raises
    ------
    SandboxUnavailable
        One of the other packages is not installed.
    """
    others = list(packages)
    roots = [*_roots(PACKAGES), *_roots(_with_requirements(others))]
    missing = [name for name in others if not _roots([name])]
    if missing:
        raise SandboxUnavailable(
            f"packages that candidates may import are not installed: {', '.join(missing)}; "
            "install them, or take them out of sandbox.packages"
        )
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    found = [*_imported(stdlib), *(file for root in roots for file in _imported(root))]
    found += [Path(sys.executable), *_configuration(), *_zones()]
    found += [file for folder in _LOCALES for file in folder.rglob("*") if file.is_file()]
    return list(dict.fromkeys(found))


def system_libraries(files: Iterable[Path], environment: Mapping[str, str]) -> list[Path]:
    """Shared libraries outside `files` that some of them load, the dynamic loader included, with
    the links by which they are found. A fresh process loads every one of `files` to see.
    """
    own = [str(file) for file in files if ".so" in file.name]
    done = subprocess.run(
        [sys.executable, "-s", "-B", "-P", "-c", _LOAD_ALL],
        input=json.dumps(own),
        env=dict(environment),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise SandboxUnavailable(f"the libraries of the packages do not load: {words}")
    inner = {os.path.realpath(path) for path in own}
    loaded = [path for path in json.loads(done.stdout) if path not in inner]
    loaders = [str(path) for pattern in _LOADERS for path in Path("/").glob(pattern[1:])]
    return [Path(path) for path in dict.fromkeys([*loaded, *_links_to(loaded), *loaders])]


def installed(names: Iterable[str]) -> list[str]:
    """Those of some import names that belong to installed packages."""
    return [name for name in names if _roots([name])]


def folders(packages: Iterable[str] = ()) -> list[Path]:
    """The packages' folders and modules, and the standard library: where no mirror is made."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    found = [*_roots(PACKAGES), *_roots(_with_requirements(packages))]
    return [stdlib, *found, *_configuration(), *_interpreter()]


def data_files(roots: Iterable[Path]) -> list[Path]:
    """Files below some folders that look like data sets."""
    return [file for root in roots for file in _below(root) if _DATA.search(file.name.lower())]


def _roots(names: Iterable[str]) -> list[Path]:
    """Folders, or single files, of packages as far as they are installed."""
    found = []
    for name in names:
        spec = PathFinder.find_spec(name, site.getsitepackages())
        if spec is None or name in sys.stdlib_module_names or name == _OWN:
            continue
        where = [spec.origin] if spec.submodule_search_locations is None else []
        found += [Path(p) for p in (*where, *(spec.submodule_search_locations or ())) if p]
        found += _libraries(name)
    return list(dict.fromkeys(found))


def _libraries(name: str) -> list[Path]:
    known = _FOLDERS_OF_LIBRARIES.get(name, name)
    places = [Path(folder) for folder in site.getsitepackages() if Path(folder).is_dir()]
    return [found for place in places for found in sorted(place.glob(f"{known}*.libs"))]


def _with_requirements(names: Iterable[str]) -> list[str]:
    """Import names of packages and of all that they require, extras left out."""
    if not (todo := list(names)):
        return []
    by_import = packages_distributions()
    by_name = {_normal(d): name for name, ds in by_import.items() for d in ds}
    known: dict[str, None] = {}
    while todo:
        name = todo.pop()
        if name in known:
            continue
        known[name] = None
        for distribution in by_import.get(name, ()):
            try:
                lines = requires(distribution) or []
            except PackageNotFoundError:
                continue
            needed = [
                _normal(_NAME_ENDS.split(line)[0]) for line in lines if "extra ==" not in line
            ]
            todo += [by_name[one] for one in needed if one in by_name]
    return list(known)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported(root: Path) -> Iterator[Path]:
    """Files below a folder that an import may read; a single file as it is."""
    for file in _below(root):
        if _KINDS.search(file.name) and not _UNUSED.match(file.name):
            yield file
            if file.suffix == ".py":
                compiled = file.parent / "__pycache__" / f"{file.stem}.{_TAG}.pyc"
                if compiled.exists():
                    yield compiled
        elif root.name == "tzdata":
            yield file


def _below(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, names, files in os.walk(root):
        names[:] = [n for n in names if n not in _LEFT_OUT and not n.startswith("config-")]
        yield from (Path(folder, name) for name in files)


def _zones() -> Iterator[Path]:
    for folder, names, files in os.walk(_ZONES):
        names[:] = [name for name in names if name not in _ZONE_COPIES]
        yield from (Path(folder, name) for name in files)


def _configuration() -> list[Path]:
    file = Path(sys.prefix, "pyvenv.cfg")
    return [file] if file.exists() else []


def _interpreter() -> list[Path]:
    return [Path(sys.executable), Path(os.path.realpath(sys.executable))]


def _links_to(libraries: Iterable[str]) -> list[str]:
    """Links beside libraries that lead to them: programs ask for libz.so.1, not libz.so.1.2.13."""
    wanted = set(libraries)
    found = (
        link
        for place in {Path(path).parent for path in wanted}
        for link in place.iterdir()
        if ".so" in link.name and link.is_symlink()
    )
    return [str(link) for link in found if os.path.realpath(link) in wanted]
