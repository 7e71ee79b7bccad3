"""Fetching an archive of sources: what is importable of it is unpacked, its hash is checked, and nothing of it is run."""

import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest

SCRIPT = pathlib.Path("third-party/pypi/fetch_wheel.py").absolute()
# The interpreter that repository rules use: it has pip, the tests' own has nothing.
PYTHON = os.path.join(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")


def make_archive(folder: pathlib.Path) -> str:
    """An archive of sources whose setup.py would leave a file behind; returns its SHA-256."""
    files = {
        "sample-1.0/PKG-INFO": "Metadata-Version: 1.1\nName: sample\nVersion: 1.0\n",
        "sample-1.0/setup.py": f"open({str(folder / 'setup_was_run')!r}, 'w')\n",
        "sample-1.0/src/sample/__init__.py": "VALUE = 41 + 1\n",
        "sample-1.0/src/sample.egg-info/PKG-INFO": "Name: sample\n",
        "sample-1.0/src/../../../outside.py": "",
        "sample-1.0/tests/sample_test.py": "",
    }
    path = folder / "sample-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(index: pathlib.Path, root: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root.mkdir()
    environ = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    environ |= {"HOME": str(root), "TMPDIR": str(index)}
    command = [PYTHON, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)


def test_the_folder_of_code_is_unpacked_and_nothing_is_run(tmp_path: pathlib.Path) -> None:
    sha256 = make_archive(tmp_path)
    result = fetch(tmp_path, tmp_path / "root", f"sample==1.0 --hash=sha256:{sha256}", "src")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "1.0"
    site = tmp_path / "root" / "site-packages"
    found = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert found == {"sample/__init__.py", "sample-1.0.dist-info/METADATA"}
    program = "import sample, importlib.metadata; print(sample.VALUE, importlib.metadata.version('sample'))"
    assert subprocess.check_output([PYTHON, "-c", program], env={"PYTHONPATH": str(site)}, text=True) == "42 1.0\n"
    assert not (tmp_path / "setup_was_run").exists()
    assert not list(tmp_path.rglob("outside.py"))


@pytest.mark.parametrize(
    ("pinned", "folder", "sentence"),
    [
        ("sample==1.0", "src", "sample==1.0: 1 archives of sources found, none with a hash that requirements.lock names"),
        ("sample==2.0", "src", "sample==2.0: 0 archives of sources found"),
        ("sample==1.0", "lib", "sample==1.0: its archive holds no Python package in lib/"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: pathlib.Path, pinned: str, folder: str, sentence: str) -> None:
    sha256 = make_archive(tmp_path)
    if "none with a hash" in sentence:
        sha256 = "0" * 64
    result = fetch(tmp_path, tmp_path / "root", f"{pinned} --hash=sha256:{sha256}", folder)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
