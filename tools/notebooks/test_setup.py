"""Tests of what `make` sets before any of its steps, and of when it repeats them. `make test-clones` runs the steps."""

import os
import shlex
import shutil
import string
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import address
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
        for name in "kernel.py", "files.py", "link":
            (clone / "tools" / "notebooks" / name).touch()
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


class Image(unittest.TestCase):
    def test_setup_finds_all_that_it_compiles(self):
        before, _ = (CLONE / "docker" / "Dockerfile").read_text().split("RUN make setup")
        copied = {line.split()[2] for line in before.splitlines() if line.startswith("COPY --chown")}
        needed = subprocess.run(["go", "list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}", "./cmd/fetch"],
                                cwd=CLONE, check=True, stdout=subprocess.PIPE, text=True).stdout
        for folder in map(Path, filter(None, needed.splitlines())):
            if folder.is_relative_to(CLONE):
                parts = folder.relative_to(CLONE)
                self.assertTrue(copied & {str(parent) for parent in [parts, *parts.parents]}, parts)


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

    def test_in_another_folder_nothing_is_done(self):
        clone, other = self.clone("my book"), self.place / "other"
        (other / "build").mkdir(parents=True)
        for target in ("clean", "setup", "help"):
            done = self.make(other, "-f", str(clone / "Makefile"), target)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1))
            self.assertIn(f"{other} is not the book's folder: go there, or say make -C and its name", done.stderr)
        self.assertTrue((other / "build").exists())

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
                folder = string.Template(spec["env"]["CONVBOOK_FOLDER"]).safe_substitute(given)
                self.assertEqual(folder, f"{self.place}/{name}")

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


class Given(Make):
    """What a target is to do, as the user says it."""

    def test_it_reaches_the_steps_as_it_was_given(self):
        clone = self.clone("book")
        for text in ("two words", "a'b", 'a "b"', "$HOME $(shell id) `id`", "-x=1", "#; *", "网"):
            given = dict.fromkeys(("NB", "P", "PROFILE", "OF", "NAME", "ONLY", "CLUSTER"), text)
            found = self.environment(clone, *(f"{name}={text}" for name in given))
            self.assertEqual({name: found[name] for name in given}, given)

    def test_which_notebook_and_how_may_stand_in_front_of_make(self):
        clone = self.clone("book")
        found = self.environment(clone, NB="10", P="lr=$1", PROFILE="smoke", NAME="of other work", CORES="8")
        self.assertEqual([found[name] for name in ("NB", "P", "PROFILE", "NAME", "CORES")],
                         ["10", "lr=$1", "smoke", "", "1"])
        self.assertEqual(self.environment(clone, "NB=11", NB="10")["NB"], "11")
        self.assertEqual(self.environment(clone)["PROFILE"], "full")

    def step(self, target: str, script: str, *arguments: str) -> subprocess.CompletedProcess:
        """What a target does that is set up, with a python that runs a script of a shell."""
        clone = self.clone("book")
        (clone / ".venv" / "bin").mkdir(parents=True)
        (clone / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\n{script}\n")
        (clone / ".venv" / "bin" / "python").chmod(0o755)
        before = ["setup", "data", ".venv/.test", ".venv/.sweep"]
        return self.make(clone, "-s", target, *arguments, *(argument for step in before for argument in ("-o", step)))

    def test_a_notebook_s_name_is_no_command(self):
        for target in ("run", "book", "sweep", "test-browser"):
            done = self.step(target, 'case $1 in tools*) for last; do :; done; echo "$last";; esac', "NB=a b; echo c")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "a b; echo c\n", ""), target)
            shutil.rmtree(self.place / "book")

    def test_a_worker_that_fails(self):
        works_once = "case $* in *worker*) echo >> started; test $(wc -l < started) = 1 || exit 3;; esac"
        done = self.step("worker", works_once, "CLUSTER=tcp://host:8786", "CORES=0")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, "^error: the worker ended with status 3, as it does when tcp://host:8786 ")

    def test_an_address_where_nothing_can_listen(self):
        for host, port, told in (
            ("localhost", "8888", ""), ("127.0.0.1", "0", ""), ("0.0.0.0", "65535", ""), ("", "80", ""),
            ("*", "80", ""),
            ("localhost", "65536", "PORT is a whole number from 0 to 65535, not '65536'"),
            ("localhost", "-1", "PORT is a whole number from 0 to 65535, not '-1'"),
            ("localhost", "", "PORT is a whole number from 0 to 65535, not ''"),
            ("localhost", "٣", "PORT is a whole number from 0 to 65535, not '٣'"),
            ("192.0.2.1", "80", "nothing can listen at HOST='192.0.2.1' (Cannot assign requested address): take "),
            ("a b", "80", "nothing can listen at HOST='a b' ("), ("a..b", "80", "nothing can listen at HOST='a..b' ("),
        ):
            with self.subTest(host=host, port=port):
                self.assertEqual(address.flaw(host, port)[: len(told) or None], told)


class Machine(Make):
    """What must be there before anything is installed."""

    def check(self, **programs: str) -> str:
        """What is told where these programs are the first on PATH."""
        folder = self.place / "bin"
        folder.mkdir(exist_ok=True)
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        path = f"{folder}:{os.environ['PATH']}"
        done = subprocess.run([CLONE / "tools" / "check"], cwd=CLONE, env={**os.environ, "PATH": path},
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1 if done.stderr else 0)
        return done.stderr

    def test_what_is_too_old_or_another(self):
        self.assertEqual(self.check(), "")
        old = self.check(go="echo go version go1.19.8 linux/amd64")
        self.assertEqual(old, "error: Go is too old (go version go1.19.8 linux/amd64): install Go 1.26 or later from "
                         "https://go.dev/dl, and let PATH find it first\n")
        (self.place / "bin" / "go").unlink()
        self.assertRegex(self.check(gcc="exit 1"), "^error: gcc finds no headers of C: install them, .*libc6-dev\n$")
        (self.place / "bin" / "gcc").unlink()
        told = ": take a newer system, such as Debian 12 or Ubuntu 22.04\n"
        self.assertEqual(self.check(getconf="echo glibc 2.32"),
                         "error: the book needs the C library glibc 2.33 or later, and this is glibc 2.32" + told)
        self.assertEqual(self.check(getconf="exit 1"),
                         "error: the book needs the C library glibc 2.33 or later, and this is another one" + told)
        self.assertEqual(self.check(getconf="echo glibc 2.33"), "")
        self.assertEqual(self.check(uname="echo Darwin arm64"),
                         "error: the book needs Linux on x86-64: this is Darwin arm64\n")


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


class Link(Make):
    """The kernel's linker, which asks gcc once about a flag."""

    def setUp(self):
        super().setUp()
        self.bin = self.place / "a'b c" / "bin"
        self.bin.mkdir(parents=True)
        shutil.copy(CLONE / "tools" / "notebooks" / "link", self.bin / "linker")
        gcc = self.bin / "gcc"
        gcc.write_text(f"""#!/bin/sh
printf '<%s>' "$@" >> {shlex.quote(str(self.place / "asked"))}
case $* in *-bad*) echo "unrecognized option" >&2; exit 1;; *-odd*) echo "unknown, but well";; esac
""")
        gcc.chmod(0o755)

    def link(self, *arguments: str) -> tuple[int, str, str]:
        """How gcc ended, what was said, and what gcc was asked since the last time."""
        done = subprocess.run(["linker", *arguments], env={"PATH": f"{self.bin}:/usr/bin:/bin"}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        asked = self.place / "asked"
        asked.touch()
        text = asked.read_text()
        asked.unlink()
        return done.returncode, done.stdout, text

    def trial(self, flag: str, folder: str = "/tmp/go-link-1") -> tuple[int, str, str]:
        return self.link("-m64", "-o", f"{folder}/a.out", flag, f"{folder}/trivial.c")

    def test_a_known_flag_is_asked_for_once(self):
        asked = "<-m64><-o></tmp/go-link-1/a.out><-no-pie></tmp/go-link-1/trivial.c>"
        self.assertEqual(self.trial("-no-pie"), (0, "", asked))
        self.assertEqual(self.trial("-no-pie", "/tmp/go link-2"), (0, "", ""))
        self.assertEqual(self.trial("-Wl,--build-id=0x12")[2].count("build-id"), 1)
        self.assertEqual(self.trial("-Wl,--build-id=0x12"), (0, "", ""))

    def test_other_flags_are_asked_for_each_time(self):
        for _ in range(2):
            status, said, asked = self.trial("-bad")
            self.assertEqual((status, said.strip(), asked.count("-bad")), (1, "unrecognized option", 1))
            status, said, asked = self.trial("-odd")
            self.assertEqual((status, said.strip(), asked.count("-odd")), (0, "unknown, but well", 1))

    def test_without_a_place_for_notes_gcc_is_asked_each_time(self):
        (self.bin / "linker-known-m64-o-no-pie").symlink_to("/nosuch/note")
        for _ in range(2):
            status, said, asked = self.trial("-no-pie")
            self.assertEqual((status, said, asked.count("-no-pie")), (0, "", 1))

    def test_programs_are_linked_by_gcc(self):
        for _ in range(2):
            self.assertEqual(self.link("-s", "-o", "/tmp/x y/a.out", "/tmp/go.o", "-lm"),
                             (0, "", "<-s><-o></tmp/x y/a.out></tmp/go.o><-lm>"))
            self.assertEqual(self.link("-L/some/where", "-o", "/tmp/a.out", "/tmp/trivial.c")[2].count("where"), 1)
        self.assertEqual(self.link("-bad", "main.o")[0], 1)


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

    def two_at_once(self, clone: Path, *arguments: str, **programs: str) -> list[str]:
        """What two makes print where these programs are the first on PATH, sorted."""
        (clone / "bin").mkdir()
        for name, script in programs.items():
            (clone / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (clone / "bin" / name).chmod(0o755)
        environment = {**os.environ, "PATH": f"{clone / 'bin'}:{os.environ['PATH']}", "MAKEFLAGS": ""}
        both = [subprocess.Popen(["make", "--no-print-directory", *arguments], cwd=clone, env=environment, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
        printed = sorted(one.communicate()[0] for one in both)
        self.assertEqual([one.returncode for one in both], [0, 0], printed)
        return printed

    def test_two_at_once_do_a_step_once(self):
        clone = self.clone("my book")
        self.installed(clone)
        (clone / ".venv" / ".python").unlink()
        (clone / "tools" / "check").write_text("#!/bin/sh\n")
        (clone / "tools" / "check").chmod(0o755)
        printed = self.two_at_once(  # with a python that makes a .venv which installs in a second
            clone, ".venv/.python",
            python3="echo made >> made\nmkdir -p .venv/bin\ncp bin/installs .venv/bin/python",
            installs="case $* in *pip?install*) echo installed >> made; sleep 1;; esac")
        self.assertEqual(printed, ["", "installing JupyterLab and XLA into .venv\n"])
        self.assertEqual((clone / "made").read_text(), "made\ninstalled\n")

    def test_two_at_once_leave_one_plugin(self):
        clone = self.clone("my book")
        self.installed(clone)
        real = ".venv/lib/python3.99/site-packages/x/pjrt_c_api_cpu_plugin.so"
        for file in "go.mod", "lib/device/plugin/plugin.c", real:
            (clone / file).parent.mkdir(parents=True, exist_ok=True)
            (clone / file).touch()
        plugin = ".venv/lib/convbook/pjrt_c_api_cpu_plugin.so"
        printed = self.two_at_once(
            clone, plugin, "-o", ".venv/bin/fetch", go="echo module",
            gcc="""while [ "$1" != -o ]; do shift; done; sleep 1; echo compiled >> made; echo plugin > "$2" """)
        self.assertEqual(printed, ["", ""])
        self.assertEqual((clone / "made").read_text(), "compiled\n")
        self.assertEqual((clone / plugin).read_text(), "plugin\n")

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
