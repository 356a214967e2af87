"""What stands in several files about installing is the same in all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_CONDA = {"dask": "dask-core", "matplotlib": "matplotlib-base", "opencv-python-headless": "py-opencv"}
NAME = re.compile(r"^[\w.-]+")


def lowest(requirement: str) -> tuple[str, str]:
    """Name and smallest version; without an extra."""
    found = NAME.match(requirement)
    assert found
    version = re.search(r">=\s*([\d.]+)", requirement)
    return found[0].lower().replace("_", "-"), version[1] if version else ""


def test_the_conda_recipe_needs_what_the_wheel_needs() -> None:
    text = (ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(text)
    python, *run = (lowest(line) for line in recipe["requirements"]["run"])
    wanted = [lowest(line) for line in PROJECT["dependencies"]]
    assert sorted(run) == sorted((OF_CONDA.get(name, name), version) for name, version in wanted)
    assert python[0] == "python"
    assert recipe["context"]["python_min"] == lowest("python" + PROJECT["requires-python"])[1]
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["license_file"] == PROJECT["license-files"]


def test_the_classifiers_are_the_versions_of_python_that_are_tested() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    tested = workflow["jobs"]["quick"]["strategy"]["matrix"]["python"]
    named = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if c.startswith("Programming Language")]
    assert named == tested
    assert PROJECT["requires-python"] == f">={tested[0]},<3.{int(tested[-1].split('.')[1]) + 1}"


def test_constraints_name_all_that_tests_need() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {lowest(line)[0] for line in lines if not line.startswith("#")}
    extras = PROJECT["optional-dependencies"]
    needed = {lowest(line)[0] for line in (*PROJECT["dependencies"], *extras["test"], *extras["docs"])}
    assert sorted(needed - pinned) == []
    assert all("==" in line for line in lines if not line.startswith("#"))


def test_no_two_modules_of_tests_have_one_name() -> None:
    """pytest imports them by name, and refuses the second one."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_a_client_needs_all_but_keras_and_tensorflow() -> None:
    root = Path(__file__).parents[1]
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = (root / "requirements-client.txt").read_text().splitlines()
    listed = [line for line in lines if not line.startswith("#")]
    assert listed == [one for one in wanted if not one.startswith(("keras>", "tensorflow>"))]
    assert len(listed) == len(wanted) - 2
