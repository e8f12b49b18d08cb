"""Tests of what `make` sets before any of its steps, and of when it repeats them. `make test-clones` runs the steps."""

import os
import shutil
import string
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import kernel
from run import CLONE

NAMES = ["my book", "我的书", "a'b", "x#y$z", 'a "b" (c) [d] {e}', "50% & more; @home = ~!", "$(HOME) ${PATH} `id`",
         "a|b<c>d^e*?"]


class Make(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name).resolve()

    def clone(self, name: str) -> Path:
        """A folder with what `make` needs to begin."""
        clone = self.place / name
        clone.mkdir()
        shutil.copy(CLONE / "Makefile", clone)
        (clone / "show.mk").write_text("include Makefile\nshow:\n\t@env -0\n")
        (clone / "tools" / "requirements").mkdir(parents=True)
        (clone / "tools" / "requirements" / "book.txt").touch()
        (clone / "tools" / "notebooks").mkdir()
        (clone / "tools" / "notebooks" / "kernel.py").touch()
        return clone

    def make(self, clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environment = {**inherited, **environment}
        return subprocess.run(["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True)

    def environment(self, clone: Path, *arguments: str, **environment: str) -> dict[str, str]:
        """The environment of `make`'s steps."""
        done = self.make(clone, "-f", "show.mk", "show", *arguments, **environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


class Folders(Make):
    def test_a_clone_may_have_any_name(self):
        for name in NAMES:
            with self.subTest(name):
                clone = self.clone(name)
                self.assertEqual(self.environment(clone)["JUPYTER_DATA_DIR"], f"{clone}/.venv/share/jupyter")
                self.assertEqual(self.make(clone, "-n", "clean").stdout, "rm -rf .venv build\n")

    def test_a_name_that_cannot_work_is_refused_in_one_line(self):
        for name in ("a:b", "a,b", "a\\b"):
            with self.subTest(name):
                clone = self.clone(name)
                for target in ("setup", "lab", "test"):
                    done = self.make(clone, target)
                    self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1))
                    told = f"the book cannot be in a folder with {name[1]} in its name: rename or move {clone}"
                    self.assertIn(told, done.stderr)

    def test_the_kernel_is_told_the_folder_as_it_is(self):
        for name in NAMES:
            with self.subTest(name):
                spec = kernel.spec(self.place / name, {"GO111MODULE": "on"})
                self.assertEqual(spec["argv"][0], f"{self.place}/{name}/.venv/bin/gonb")
                self.assertIn(f"--go_work={self.place}/{name}", spec["argv"])
                given = {"PATH": "/bin", "z": "wrong", "HOME": "wrong"}
                path = string.Template(spec["env"]["PATH"]).safe_substitute(given)  # as Jupyter does it
                self.assertEqual(path, f"{self.place}/{name}/.venv/bin:/bin")
                self.assertEqual(spec["env"]["GO111MODULE"], "on")

    def test_folders_of_the_user_are_absolute(self):
        clone = self.clone("my $book")
        for given, wanted in {
            "mydata": f"{clone}/mydata", "../my data": f"{clone}/../my data", "a $b (c": f"{clone}/a $b (c",
            "/my $data": "/my $data", "~/data": "~/data", "": "",
        }.items():
            for name in ("CONVBOOK_DATA", "CONVBOOK_RUNS", "CONVBOOK_COMPILED", "XDG_CACHE_HOME", "TMPDIR"):
                with self.subTest(name=name, given=given):
                    self.assertEqual(self.environment(clone, **{name: given})[name], wanted)
                    self.assertEqual(self.environment(clone, f"{name}={given}")[name], wanted)
        self.assertEqual(self.environment(clone, CONVBOOK_COMPILED="off")["CONVBOOK_COMPILED"], "off")


class Settings(Make):
    def as_installed(self, clone: Path) -> list[str]:
        """Arguments with which `make setup` takes all its steps for done."""
        rules = self.make(clone, "-n", "-p", "setup").stdout
        steps = next(line for line in rules.splitlines() if line.startswith("setup: ")).split()[1:]
        self.assertEqual(len(steps), 4)
        return [argument for step in steps for argument in ("-o", step)]

    def test_a_workspace_of_the_user(self):
        clone, temporary = self.clone("book"), self.place / "work" / "tmp"
        temporary.mkdir(parents=True)
        installed = self.as_installed(clone)
        (self.place / "go.work").write_text("go 1.20\n")  # above the clone
        done = self.make(clone, "setup", *installed)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        done = self.make(clone, "setup", *installed, TMPDIR=str(temporary))
        self.assertEqual(done.returncode, 2)
        told = f"cells cannot be built in {temporary}, below {self.place}/go.work: set TMPDIR to another folder"
        self.assertIn(f"error: {told}\n", done.stderr)

    def test_a_folder_for_temporary_files_that_is_not_there(self):
        clone = self.clone("book")
        done = self.make(clone, "setup", *self.as_installed(clone), TMPDIR="nosuch")
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"error: there is no folder {clone}/nosuch: make it, or set TMPDIR to another one\n", done.stderr)

    def test_what_is_set_for_other_work_does_not_matter(self):
        clone = self.clone("book")
        names = [
            "GO111MODULE", "GOAMD64", "GOARCH", "GOBIN", "GOEXPERIMENT", "GOFLAGS", "GOOS", "GOROOT",
            "GOTOOLCHAIN", "GOWORK", "CC", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_ENABLED", "CGO_LDFLAGS",
            "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_NO_BINARY", "PIP_PYTHON", "PIP_CONSTRAINT",
            "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONSTARTUP", "PYTHONOPTIMIZE",
            "JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_DATA_DIR", "JUPYTERLAB_DIR",
            "BASH_ENV", "CDPATH"]
        found = self.environment(clone, **dict.fromkeys(names, "nosuch"))
        left = [name for name in names if found.get(name) == "nosuch"]
        self.assertEqual(left, ["GOBIN"])  # it does not matter: what is built is told where it goes

    def test_where_packages_come_from_is_kept(self):
        clone = self.clone("book")
        given = {name: f"https://example.org/{name}$x" for name in (
            "GOPROXY", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOMODCACHE", "GOCACHE",
            "GOPATH",
            "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_CERT",
            "PIP_CONFIG_FILE", "PIP_CACHE_DIR",
            "HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "npm_config_registry", "HOME")}
        found = self.environment(clone, **given)
        self.assertEqual({name: found[name] for name in given}, given)


class Again(Make):
    """When a step is done again."""

    def installed(self, clone: Path) -> None:
        """Leaves behind what a set-up leaves, with a python that works."""
        (clone / ".venv" / "bin").mkdir(parents=True)
        (clone / ".venv" / "bin" / "python").write_text("#!/bin/sh\n")
        (clone / ".venv" / "bin" / "python").chmod(0o755)
        (clone / ".venv" / ".python").touch()
        (clone / ".venv" / ".kernel").write_text(f"{clone}\n")

    def is_done(self, clone: Path, step: str) -> bool:
        return self.make(clone, "-q", step).returncode == 0

    def test_nothing_is_done_twice(self):
        for name in NAMES:
            clone = self.clone(name)
            self.installed(clone)
            self.assertTrue(self.is_done(clone, ".venv/.python") and self.is_done(clone, ".venv/.kernel"), name)

    def test_gonb_when_its_patches_change(self):
        clone = self.clone("my book")
        self.installed(clone)
        folder = clone / "tools" / "go" / "patches"
        program = folder.parent / "patch" / "main.go"
        patches = [folder / "0001-a.patch", folder / "0002-b.patch"]
        for file in (folder.parent / "go.mod", folder.parent / "go.sum", program, *patches):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        os.utime(folder, (1, 1))
        step = clone / ".venv" / ".tools"

        def is_done_after(change) -> bool:
            step.touch()
            self.assertTrue(self.is_done(clone, ".venv/.tools"))
            change()
            return self.is_done(clone, ".venv/.tools")

        later = time.time() + 60
        self.assertFalse(is_done_after(lambda: os.utime(patches[0], (later, later))))
        os.utime(patches[0], (1, 1))
        self.assertFalse(is_done_after(lambda: os.utime(program, (later, later))))
        os.utime(program, (1, 1))

        def remove():
            patches[1].unlink()
            os.utime(folder, (later, later))

        self.assertFalse(is_done_after(remove))

    def test_another_python_or_none(self):
        clone = self.clone("my book")
        self.installed(clone)
        (clone / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
        self.assertFalse(self.is_done(clone, ".venv/.python"))
        (clone / ".venv" / "bin" / "python").unlink()
        (clone / ".venv" / "bin" / "python").symlink_to("/nosuch/python3")
        self.assertFalse(self.is_done(clone, ".venv/.python"))

    def test_a_clone_that_was_moved_or_copied(self):
        clone = self.clone("my book")
        self.installed(clone)
        clone = clone.rename(clone.parent / "moved")
        self.assertFalse(self.is_done(clone, ".venv/.kernel"))
        self.assertTrue(self.is_done(clone, ".venv/.python"))


if __name__ == "__main__":
    unittest.main()
