"""Which Bazel tools/bazel runs, what it installs, and what it says when it can do neither."""

import os
import pathlib
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path("tools")
PROGRAMS = ["awk", "bash", "cat", "cut", "dirname", "env", "grep", "head", "printf", "sort", "touch", "chmod"]

# Debian's /usr/bin/bazel in short: it runs tools/bazel of the workspace with BAZEL_REAL set.
WRAPPER = '#!/bin/bash\nexport BAZEL_REAL=/usr/bin/bazel-7.7.1\nexec "{launcher}" "$@"\n'


class Machine:
    """A checkout and a PATH of their own, with programs that print how they were called."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.bin = folder / "usr" / "bin"
        self.launcher = folder / "checkout" / "tools" / "bazel"
        self.log = folder / "log"
        self.bin.mkdir(parents=True)
        self.launcher.parent.mkdir(parents=True)
        (folder / "core").mkdir()
        for program in PROGRAMS:
            (folder / "core" / program).symlink_to(shutil.which(program) or program)
        shutil.copy(SOURCE / "bazel", self.launcher)
        (folder / "checkout" / ".bazelversion").write_text("7.7.1\n")
        self.packages("")

    def packages(self, text: str) -> None:
        (self.launcher.parent / "apt-packages.txt").write_text(text)

    def program(self, name: str, text: str | None = None, folder: pathlib.Path | None = None) -> pathlib.Path:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or f'#!/bin/bash\necho "ran {name} $*"\n')
        path.chmod(0o755)
        return path

    def apt(self, *, root: bool, available: str = "*", provides: str = "") -> None:
        """Debian's package tools; `provides` names a program that appears when something is installed."""
        self.program("id", f"#!/bin/bash\necho {0 if root else 1000}\n")
        self.program("apt-cache", f"#!/bin/bash\ncase $2 in {available}) exit 0;; *) exit 100;; esac\n")
        appear = f'printf "#!/bin/bash\\necho ran {provides} \\$*\\n" >{self.bin}/{provides}; chmod +x {self.bin}/{provides}\n'
        self.program("apt-get", f'#!/bin/bash\necho "$*" >>{self.log}\n[[ $1 == install ]] || exit 0\n{appear if provides else ""}')

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.run_in(self.folder, *arguments, **environ)

    def run_in(self, folder: pathlib.Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.launcher), *arguments],
            cwd=folder,
            env={"PATH": f"{self.bin}:{self.folder / 'core'}", "COREML_DELEGATE_SYSTEM_ROOT": str(self.folder), **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def installed(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path)


def test_bazel_real_is_used_and_gets_the_arguments(machine: Machine) -> None:
    real = machine.program("bazel-real", folder=machine.folder / "elsewhere")
    machine.program("bazelisk")
    result = machine.run("test", "//a b", "--flag=x y", BAZEL_REAL=str(real))
    assert result.stdout == "ran bazel-real test //a b --flag=x y\n"


def test_bazel_real_of_debians_wrapper_that_does_not_exist_is_ignored(machine: Machine) -> None:
    machine.program("bazel-4")
    machine.program("bazel", WRAPPER.format(launcher=machine.launcher))
    result = subprocess.run([machine.bin / "bazel", "test"], cwd=machine.folder, env={"PATH": f"{machine.bin}:{machine.folder / 'core'}"},
                            capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert result.stdout == "ran bazel-4 test\n"


def test_bazel_real_that_is_this_launcher_is_ignored(machine: Machine) -> None:
    machine.program("bazel-4")
    assert machine.run("build", BAZEL_REAL=str(machine.launcher)).stdout == "ran bazel-4 build\n"


def test_bazel_real_that_is_another_checkouts_launcher_is_ignored(machine: Machine) -> None:
    machine.program("bazel-4")
    other = machine.program("bazel", (SOURCE / "bazel").read_text(), folder=machine.folder / "other" / "tools")
    assert machine.run("build", BAZEL_REAL=str(other)).stdout == "ran bazel-4 build\n"


def test_bazel_real_that_is_the_wrapper_is_ignored(machine: Machine) -> None:
    machine.program("bazel-4")
    wrapper = machine.program("bazel", WRAPPER.format(launcher=machine.launcher))
    assert machine.run("build", BAZEL_REAL=str(wrapper)).stdout == "ran bazel-4 build\n"


def test_bazelisk_comes_before_an_installed_bazel_and_does_not_call_back(machine: Machine) -> None:
    machine.program("bazelisk", '#!/bin/bash\necho "bazelisk $* skip=$BAZELISK_SKIP_WRAPPER"\n')
    machine.program("bazel-4")
    machine.program("bazel")
    assert machine.run("build").stdout == "bazelisk build skip=true\n"


def test_bazelisk_that_cannot_download_is_passed_over(machine: Machine) -> None:
    machine.program("bazelisk", "#!/bin/bash\necho could not download >&2\nexit 1\n")
    machine.program("bazel-4")
    result = machine.run("build")
    assert result.stdout == "ran bazel-4 build\n"
    assert "could not download\ntools/bazel: bazelisk could not get Bazel 7.7.1" in result.stderr


def test_the_version_asked_for_comes_before_others(machine: Machine) -> None:
    for name in ["bazel-4", "bazel-7.7.1", "bazel-8.0.0", "bazel"]:
        machine.program(name)
    assert machine.run("build").stdout == "ran bazel-7.7.1 build\n"


def test_the_newest_version_comes_before_others(machine: Machine) -> None:
    for name in ["bazel-4", "bazel-10.0.0", "bazel-9.1.0"]:
        machine.program(name)
    assert machine.run("build").stdout == "ran bazel-10.0.0 build\n"


def test_other_programs_of_that_name_are_no_bazel(machine: Machine) -> None:
    machine.program("bazel-watcher")
    machine.program("bazel")
    assert machine.run("build").stdout == "ran bazel build\n"


def test_the_wrapper_alone_is_no_bazel(machine: Machine) -> None:
    machine.program("bazel", WRAPPER.format(launcher=machine.launcher))
    result = machine.run("build")
    assert result.returncode == 1
    assert "no Bazel found" in result.stderr


def test_nothing_found_names_what_to_install(machine: Machine) -> None:
    result = machine.run("build")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Install bazelisk (or Bazel 7.7.1)" in result.stderr


def test_a_bazel_that_calls_back_ends(machine: Machine) -> None:
    machine.program("bazel", f'#!/bin/bash\nexec "{machine.launcher}" "$@"\n')
    result = machine.run("build")
    assert result.returncode == 2
    assert "called itself" in result.stderr


def test_a_target_may_call_the_launcher(machine: Machine) -> None:
    machine.program("bazel", f'#!/bin/bash\n[[ $1 == run ]] && exec "{machine.launcher}" build\necho "inner $1"\n')
    assert machine.run("run").stdout == "inner build\n"


def test_root_installs_what_is_missing_and_bazel(machine: Machine) -> None:
    machine.program("clang-16")
    machine.packages(f"clang-16: clang-16 clang\nlld-16: ld.lld-16\nlibx-dev: {machine.folder}/x-*.h\n# a comment: nothing\n")
    machine.apt(root=True, provides="bazel-4")
    result = machine.run("test", "//...")
    assert machine.installed() == [
        "update -q",
        "install -y -q --no-install-recommends bazel-bootstrap lld-16 libx-dev",
    ]
    assert result.stdout == "ran bazel-4 test //...\n"


def test_nothing_is_installed_when_all_is_there(machine: Machine) -> None:
    (machine.folder / "x-1.h").touch()
    machine.packages(f"libx-dev: {machine.folder}/x-*.h\n")
    machine.apt(root=True)
    machine.program("bazel-4")
    assert machine.run("build").stdout == "ran bazel-4 build\n"
    assert machine.installed() == []


@pytest.mark.parametrize(
    ("said", "variables", "is_installed"),
    [
        ("Python 3.12.1", {}, False),
        ("Python 3.10.4", {}, True),
        ("Python 3.1.2", {}, True),
        ("Python 3.10.4", {"CHOSEN_PYTHON": "/opt/python3.11"}, False),
    ],
)
def test_a_python_of_another_version_is_none(machine: Machine, said: str, variables: dict[str, str], is_installed: bool) -> None:
    machine.packages("python3.11 or python3: python3.11 python3=3.11,3.12 $CHOSEN_PYTHON\n")
    machine.apt(root=True)
    machine.program("bazel-4")
    machine.program("python3", f'#!/bin/bash\n[[ $1 == --version ]] && echo "{said}"\n')
    assert machine.run("build", **variables).stdout == "ran bazel-4 build\n"
    assert machine.installed()[-1:] == (["install -y -q --no-install-recommends python3.11"] if is_installed else [])


def test_the_first_package_that_the_release_has_is_installed(machine: Machine) -> None:
    machine.packages("clang-16 or clang: clang-16 clang\n")
    machine.apt(root=True, available="clang")
    machine.program("bazel-4")
    machine.run("build")
    assert machine.installed()[-1] == "install -y -q --no-install-recommends clang"


def test_without_root_the_exact_command_is_printed(machine: Machine) -> None:
    machine.packages("lld-16: ld.lld-16\n")
    machine.apt(root=False)
    result = machine.run("build")
    assert (result.returncode, result.stdout) == (1, "")
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends bazel-bootstrap lld-16\n" in result.stderr
    assert machine.installed() == []


def test_a_failed_installation_stops(machine: Machine) -> None:
    machine.packages("lld-16: ld.lld-16\n")
    machine.apt(root=True)
    machine.program("apt-get", "#!/bin/bash\nexit 100\n")
    machine.program("bazel-4")
    result = machine.run("build")
    assert (result.returncode, result.stdout) == (1, "")


def test_installation_can_be_switched_off(machine: Machine) -> None:
    machine.packages("lld-16: ld.lld-16\n")
    machine.apt(root=True)
    machine.program("bazel-4")
    assert machine.run("build", COREML_DELEGATE_NO_INSTALL="1").stdout == "ran bazel-4 build\n"
    assert machine.installed() == []


@pytest.mark.parametrize("knows_modules", [True, False])
def test_debians_rule_packages_are_used_if_bazel_knows_modules(machine: Machine, knows_modules: bool) -> None:
    rules = machine.folder / "usr" / "share" / "bazel" / "rules" / "cc"
    rules.mkdir(parents=True)
    (rules / "MODULE.bazel").touch()
    tools = machine.folder / "usr" / "share" / "bazel" / "embedded_tools"
    tools.mkdir()
    (tools / ("MODULE.bazel" if knows_modules else "WORKSPACE")).touch()
    machine.program("bazel", '#!/bin/bash\necho "ran $*"\n')
    shown = machine.run("--batch", "test", "//...").stdout
    added = f" --noenable_bzlmod --enable_workspace --override_repository=rules_cc={rules}" if knows_modules else ""
    assert shown == f"ran --batch test{added} //...\n"
    assert machine.run("shutdown").stdout == "ran shutdown\n"


@pytest.mark.parametrize(
    ("version", "is_added"),
    [("no_version", True), ("4.2.3", True), ("7.7.1", True), ("8.0.0", False), ("9.1.0", False), ("10.0.0rc1", False)],
)
def test_flags_of_old_bazels_are_added_after_asking(machine: Machine, version: str, is_added: bool) -> None:
    machine.program("bazel", f'#!/bin/bash\n[[ $1 == --version ]] && echo "bazel {version}" || echo "ran $*"\n')
    workspace = machine.folder / "theirs"
    folder = workspace / "deep" / "er"
    folder.mkdir(parents=True)
    (workspace / "MODULE.bazel").touch()
    assert machine.run_in(folder, "build", "//x").stdout == "ran build //x\n"
    (workspace / ".bazelrc").write_text("build --a\nbuild:before_bazel_8 --b=1 2\nbuild:before_bazel_8 --c\nbuild:later --d\n")
    added = " --b=1 2 --c" if is_added else ""
    assert machine.run_in(folder, "--batch", "test", "//x").stdout == f"ran --batch test{added} //x\n"
    assert machine.run_in(folder, "query", "//x").stdout == "ran query //x\n"
    assert machine.run("build", "//x").stdout == "ran build //x\n"


def test_a_bazel_that_calls_back_when_asked_ends(machine: Machine) -> None:
    machine.program("bazel", f'#!/bin/bash\n[[ $1 == run ]] && echo "ran $*" && exit\nexec "{machine.launcher}" "$@"\n')
    (machine.folder / "MODULE.bazel").touch()
    (machine.folder / ".bazelrc").write_text("build:before_bazel_8 --b\n")
    assert machine.run("run").stdout == "ran run --b\n"


def test_every_line_of_the_package_list_has_packages_and_signs() -> None:
    lines = [line.partition("#")[0].strip() for line in (SOURCE / "apt-packages.txt").read_text().splitlines()]
    for line in filter(None, lines):
        packages, colon, signs = line.partition(":")
        assert colon, line
        assert packages.strip(), line
        assert signs.split(), line
        assert all(sign.startswith("/") or "/" not in sign for sign in signs.split()), line
    assert os.access(SOURCE / "bazel", os.X_OK)
