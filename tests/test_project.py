"""The project as a whole: imports, sizes, words, packaging, and documentation that is true."""

import ast
import doctest
import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import soundsight
from soundsight import cli, recipes
from soundsight.cli import data, experiments
from soundsight.cli.parse import parse

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "soundsight"
MODULES = sorted(SOURCE.rglob("*.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def project_files(*suffixes: str) -> list[Path]:
    """Files that belong to the project, by suffix."""
    folders = [
        ROOT / name for name in ("src", "tests", "docs", "examples", "benchmarks", "scripts")
    ]
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]
    return sorted(found + [path for path in ROOT.glob("*") if path.suffix in suffixes])


# Imports.


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of pyproject.toml on a copy of the source."""
    shutil.copy(ROOT / "pyproject.toml", tree)
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    environment = {"PYTHONPATH": str(tree / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source that may be spoilt."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignore)
    return tmp_path


def test_imports_go_one_way(tree):
    result = lint_imports(tree)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("media/clip.py", "import soundsight.models.sound2sight", "Layers"),
        ("contract.py", "import soundsight.nn.dcgan", "Layers"),
        ("evaluation/image.py", "import soundsight.training.optim", "Layers"),
        ("training/optim.py", "import soundsight.evaluation.image", "Layers"),
        ("models/planted.py", "import soundsight.models.sound2sight", "Papers"),
        ("data/loader.py", "import av", "codecs"),
        ("nn/dcgan.py", "import torchvision", "torchvision"),
        ("helpers.py", "", "Layers"),
    ],
)
def test_planted_violation_is_found(tree, module, statement, contract):
    path = tree / "src" / "soundsight" / module
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{statement}\n")
    result = lint_imports(tree)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert [line for line in broken if contract in line], result.stdout


def test_planted_violation_between_any_two_papers_is_found(tree):
    """Whatever papers there are: the newest and the oldest may not meet either."""
    papers = sorted(p.stem for p in (SOURCE / "models").glob("*.py") if p.stem != "__init__")
    (tree / "src/soundsight/models/planted.py").write_text("")
    for paper in papers:
        path = tree / "src" / "soundsight" / "models" / f"{paper}.py"
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\nimport soundsight.models.planted\n", encoding="utf-8")
    result = lint_imports(tree)
    assert result.returncode == 1
    for paper in papers:
        assert f"soundsight.models.{paper} -> soundsight.models.planted" in result.stdout


# Sizes and words of the source.


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_module_keeps_to_the_rules(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500, "more than 500 lines: is it one idea?"
    assert path.stem not in {"utils", "util", "helpers", "misc", "common", "base"}
    assert "from __future__ import annotations" not in text, "shape checks need real annotations"
    assert not re.search(
        r"\b(pickle\.loads?|allow_pickle=True|eval|exec)\(", text.replace(".eval(", "")
    )
    assert not re.search(r"(?<!safetensors\.)torch\.(load|save)\(", text), (
        "checkpoints are safetensors and JSON"
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_examples_in_docstrings_are_true(path):
    if ">>>" not in path.read_text(encoding="utf-8"):
        return
    name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


# Written in two halves, so that this file does not hold what it forbids.
FORBIDDEN = [
    "TO" + "DO", "FIX" + "ME", "XX" + "X", r"\.\./sha" + "red", r"/wo" + "rk/", r"/tm" + "p/",
    r"\bsub" + r"agent\b", r"\bissue tra" + r"cker\b", r"\btic" + r"kets?\b", r"\bLL" + r"Ms?\b",
]  # fmt: skip


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_forbidden_word(word):
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in project_files(".py", ".md", ".toml", ".txt")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(word, line)
        # Tests may look for real recordings beside the repository.
        and not ("data" in line and path.is_relative_to(ROOT / "tests"))
        and not (path.name == "pyproject.toml" and "shared_data:" in line)
    ]
    assert not hits, "\n".join(hits)


# Packaging.


def test_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == soundsight.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert first is not None
    assert first[1] == soundsight.__version__


def test_wheel_holds_the_package_its_types_and_its_licence(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "soundsight/py.typed" in names
    assert {f"soundsight/{path.relative_to(SOURCE).as_posix()}" for path in MODULES} <= names
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert not [name for name in names if name.startswith(("tests", "docs", "examples"))]


def test_constraints_pin_every_dependency_and_name_no_registry():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "://" in line or "@" in line]
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    names = {re.split(r"[\[<>=!~ ]", name)[0].lower() for name in wanted} - {"soundsight"}
    assert names <= pinned, names - pinned
    assert "torch==2.13.0" in lines


def test_licence_is_apache():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) > 11_000


def test_ci_runs_what_a_human_runs():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[0] == "#!/usr/bin/env bash"
    commands = [line for line in script if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[2:] == ["make test"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


# Documentation.


def load_check_links():
    spec = importlib.util.spec_from_file_location(
        "check_links", ROOT / "scripts" / "check_links.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_lead_somewhere():
    assert load_check_links().broken_links(ROOT) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "# A title\n[fine](docs/a.md#two-words) [gone](docs/b.md) ![gone](x.png)\n"
        "[no heading](#nowhere) [here](#a-title) [web](https://example.org/x)\n"
        "`[code](no.md)`\n```\n[code](no.md)\n```\n"
    )
    (tmp_path / "docs" / "a.md").write_text("## Two words!\n[up](../README.md)\n")
    problems = load_check_links().broken_links(tmp_path)
    assert [line.split(": ")[1] for line in problems] == ["docs/b.md", "x.png", "#nowhere"]


def test_every_page_is_reachable_from_the_index():
    check, index = load_check_links(), ROOT / "docs" / "index.md"
    linked, waiting = set(), [index]
    while waiting:
        page = waiting.pop()
        linked.add(page)
        for target in check.links(page.read_text(encoding="utf-8")):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.is_file() and file not in linked:
                waiting.append(file)
    assert set((ROOT / "docs").rglob("*.md")) <= linked


def test_every_paper_has_its_page():
    papers = {p.stem for p in (SOURCE / "models").glob("*.py")} - {"__init__"}
    pages = {p.stem for p in (ROOT / "docs" / "models").glob("*.md")}
    assert papers == pages


@pytest.mark.parametrize(
    "paper",
    [
        "sound2sight",
        "svg_lp",
        "audio_only",
        "ddpae",
        "speech_driven",
        "joint_gan",
        "crossmodal_gan",
        "cmcgan",
        "sa_cmgan",
        "judges",
    ],
)
def test_paper_page_names_what_exists(paper):
    """Names in code font on a paper's page are names of its module or of the package."""
    page = (ROOT / "docs" / "models" / f"{paper}.md").read_text(encoding="utf-8")
    table = re.split(r"## From the (?:paper|sources) to the code", page)[1].split("##")[0]
    sources = "\n".join(p.read_text(encoding="utf-8") for p in MODULES)
    for name in re.findall(r"`([A-Za-z_.0-9]+)`", table):
        last = name.split(".")[-1]
        assert re.search(rf"(class|def) {last}\b", sources), name


def fenced(text: str, language: str) -> list[str]:
    """The code blocks of a language in a Markdown text."""
    blocks = re.findall(r"^```([a-z]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in blocks if re.fullmatch(language, named)]


def readme_commands() -> list[str]:
    """Every command that the README shows, without its comment."""
    lines = "\n".join(fenced(README, "sh")).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.strip()]


MAPPED = {
    "make demo": ("Makefile", "soundsight demo --out demo"),
    "make test": (".ci/run", "make test"),
}
"""Commands that are not run here, and the file and text by which something else runs them."""


def test_readme_shows_the_verbs():
    shown = {command.split()[1] for command in readme_commands()}
    assert shown - {"test"} == set(cli.VERBS)


def test_commands_not_run_here_are_run_elsewhere():
    commands = readme_commands()
    for command, (file, text) in MAPPED.items():
        assert command in commands
        assert text in (ROOT / file).read_text(encoding="utf-8")


def test_readme_commands_run(tmp_path, monkeypatch, capsys):
    """All others, in the README's order, as a user types them; trainings are cut to two steps."""
    from soundsight.data.m3so import TINY
    from soundsight.media.clip import ClipSpec
    from soundsight.media.io import encode

    spec = ClipSpec(frames=40, size=32)
    clips = TINY.build(spec, "train").clips(range(6))
    (tmp_path / "DIR_OF_VIDEOS").mkdir()
    for i in range(6):
        encode(clips, tmp_path / "DIR_OF_VIDEOS" / f"{i}.mp4", index=i, scale=4)
    encode(clips, tmp_path / "clip.mp4", index=0, scale=4)
    encode(clips, tmp_path / "photo.png", index=0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    for command in [c for c in readme_commands() if c not in MAPPED]:
        words = shlex.split(command)[1:]
        words += {"train": ["--train.steps", "2"], "demo": ["--quick"]}.get(words[0], [])
        assert cli.main(words) == 0, f"{command}: {capsys.readouterr().err}"
    assert (tmp_path / "runs/tiny/weights.safetensors").is_file()
    for report in ("runs/tiny/report", "out/comparison/report", "demo/report"):
        assert (tmp_path / report / "index.html").is_file()
    assert len(list((tmp_path / "out/mine/clip").glob("sample_*.mp4"))) == 5
    assert len(list((tmp_path / "out/sound/photo").glob("sample_*.wav"))) == 2


def test_program_is_installed():
    """What the README calls `soundsight` is the function that the tests call."""
    program = Path(sys.executable).with_name("soundsight")
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, soundsight.__version__)


def shown_commands() -> list[str]:
    """Every `soundsight ...` line of the code blocks of the documentation."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    blocks = [b for page in pages for b in fenced(page.read_text(encoding="utf-8"), "(?:sh)?")]
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith("soundsight ")})


@pytest.mark.parametrize(
    "command", [c for c in shown_commands() if not {"RECIPE", "NAME"} & set(c.split())]
)
def test_shown_commands_are_understood(command, tmp_path, monkeypatch):
    """Recipes exist, options are spelt right; nothing is run."""
    monkeypatch.chdir(tmp_path)
    verb, *words = shlex.split(command)[1:]
    own = {"train": experiments.train_options, "prepare": data.prepare_options, "check": None}
    if own.get(verb) is not None:
        own[verb](words)
    else:
        kinds = data if verb in own else experiments
        parse(getattr(kinds, verb.capitalize()), words, verb=verb)


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_recipes_that_pages_name_exist(page):
    text = "\n".join(page.read_text(encoding="utf-8").split("```")[0::2])
    named = set(re.findall(r"\bsound2sight_(?:m3so|folder)\w*", text))
    assert named <= set(recipes.names())


PYTHON_PAGES = [
    page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if fenced(page.read_text(encoding="utf-8"), "python")
]  # fmt: skip


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_of_the_documentation_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "documentation"}
    for block in fenced(page.read_text(encoding="utf-8"), "python"):
        error = re.search(r"^# ValueError: ", block, re.MULTILINE)
        if error:
            with pytest.raises(ValueError, match="nearest"):
                exec(compile(block, str(page), "exec"), scope)
        else:
            exec(compile(block, str(page), "exec"), scope)
