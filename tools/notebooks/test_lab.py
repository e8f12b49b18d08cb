"""Tests of JupyterLab's settings, mostly of what stands between it and others: it is started once, as `make lab` does,
beside settings of the user that would open it to everybody."""

import base64
import http.client
import json
import os
import shlex
import tempfile
import unittest
from pathlib import Path

import nbformat
import psutil

from lab import CLONE, Lab

# What a user, or the image that this runs in, may have set up for other servers.
OPEN = """
for section in (c.ServerApp, c.IdentityProvider):
    section.token = ""
c.ServerApp.allow_origin = "*"
c.ServerApp.allow_credentials = True
c.ServerApp.disable_check_xsrf = True
c.ServerApp.allow_unauthenticated_access = True
c.ServerApp.allow_remote_access = True
c.ServerApp.ip = "0.0.0.0"
"""


class Security(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        for name in ("jupyter_config", "jupyter_server_config", "jupyter_lab_config"):
            (folder / f"{name}.py").write_text(OPEN)
        # They lie where the user says, which the Makefile does not let count, and in the machine's folder, which it
        # cannot keep out: this Python has Jupyter take another for /etc/jupyter.
        (folder / "sitecustomize.py").write_text(
            f"import jupyter_core.paths as paths\npaths.SYSTEM_CONFIG_PATH[:] = [{str(folder)!r}]\n")
        python = f"PYTHON=env PYTHONPATH={shlex.quote(str(folder))} .venv/bin/python"
        cls.lab = cls.enterClassContext(
            Lab(folder / "lab.log", "-o", "data", python, environment={"JUPYTER_CONFIG_PATH": str(folder)}))

    def ask(self, path: str, method="GET", headers=None, body=None):
        """The status, headers and text of JupyterLab's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.lab.port, timeout=20)
        self.addCleanup(connection.close)
        connection.request(method, path, body, {"Host": f"localhost:{self.lab.port}", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    def key(self) -> dict[str, str]:
        return {"Authorization": f"token {self.lab.token}"}

    def cookies(self) -> dict[str, str]:
        """What a browser sends once its user has come with the token: cookies."""
        _, headers, _ = self.ask(f"/lab?token={self.lab.token}")
        pairs = [cookie.split(";")[0] for cookie in headers.get_all("Set-Cookie")]
        return {"Cookie": "; ".join(pairs)}

    def handshake(self, **headers: str) -> int:
        """The status of the answer to the opening of a kernel's or a terminal's channel."""
        return self.ask("/api/events/subscribe", headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **headers})[0]

    def test_the_open_settings_were_read(self):
        self.assertIn("ServerApp.token config is deprecated", self.lab.log.read_text())

    def test_it_listens_to_this_machine_only(self):
        listening = {connection.laddr.ip for connection in psutil.Process(self.lab.pid).net_connections("inet")
                     if connection.status == psutil.CONN_LISTEN}
        self.assertTrue(listening)
        self.assertLessEqual(listening, {"127.0.0.1", "::1"})

    def test_nothing_without_the_token(self):
        self.assertGreaterEqual(len(self.lab.token), 40)
        for path in ("/api/contents", "/api/kernels", "/api/sessions", "/api/kernelspecs", "/api/status",
                     "/lab/api/settings"):
            for wrong in ("", "?token=", "?token=0"):
                self.assertEqual(self.ask(path + wrong)[0], 403, path + wrong)
        for path in ("/", "/lab/tree/README.md", "/tree", "/files/README.md"):  # pages, for which one can log in
            status, headers, _ = self.ask(path)
            self.assertEqual(status, 302, path)
            self.assertRegex(headers["Location"], "^/(login|lab)")
        self.assertEqual(self.ask("/api/kernels", headers={"Authorization": "token "})[0], 403)
        self.assertIn(self.handshake(), (302, 403))
        self.assertEqual(self.ask("/api/contents", headers=self.key())[0], 200)
        self.assertEqual(self.handshake(**self.key()), 101)

    def test_a_page_from_elsewhere_reaches_nothing(self):
        elsewhere = {"Origin": "http://evil.example"}
        for about in ({}, self.cookies()):
            _, headers, _ = self.ask("/api/contents", headers={**elsewhere, **about})
            self.assertFalse([name for name in headers if name.lower().startswith("access-control-allow")
                              and headers[name] not in ("", f"http://localhost:{self.lab.port}")
                              and name.lower() != "access-control-allow-headers"], headers.items())
            _, headers, _ = self.ask("/api/kernels", "OPTIONS",
                                     {**elsewhere, **about, "Access-Control-Request-Method": "POST"})
            self.assertIsNone(headers["Access-Control-Allow-Origin"])
        self.assertEqual(self.handshake(**self.cookies(), Origin=f"http://localhost:{self.lab.port}"), 101)
        self.assertEqual(self.handshake(**self.cookies(), **elsewhere), 403)

    def test_a_form_from_elsewhere_starts_nothing(self):
        cookies = self.cookies()
        form = {**cookies, "Content-Type": "text/plain"}
        for headers in ({}, {"Origin": "http://evil.example"}, {"Referer": "http://evil.example/"}):
            for path in ("/api/kernels", "/api/sessions", "/api/contents", "/api/shutdown"):
                self.assertTrue(self.ask(path, "POST", {**form, **headers}, "{}")[0] in (403, 404), path)
        self.assertEqual(self.ask("/api/kernels", headers=self.key())[2], "[]")
        xsrf = dict(pair.split("=", 1) for pair in cookies["Cookie"].split("; "))["_xsrf"]
        # As JupyterLab's own page does it.
        own = {**cookies, "X-XSRFToken": xsrf, "Origin": f"http://localhost:{self.lab.port}"}
        self.assertEqual(self.ask("/api/sessions", "POST", own, "{}")[0], 400)  # let in, and told what is missing

    def test_a_name_that_leads_here_is_refused(self):
        for host in ("evil.example", f"evil.example:{self.lab.port}", "10.1.2.3", "localhost.evil.example"):
            for headers in (self.key(), self.cookies()):
                self.assertEqual(self.ask("/api/contents", headers={**headers, "Host": host})[0], 403, host)

    def test_a_new_notebook_is_the_books(self):
        specs = json.loads(self.ask("/api/kernelspecs", headers=self.key())[2])
        self.assertEqual((specs["default"], list(specs["kernelspecs"])), ("convbook", ["convbook"]))
        status, _, answer = self.ask("/api/contents/build", "POST", self.key(), '{"type": "notebook"}')  # as File → New
        self.assertEqual(status, 201, answer)
        path = CLONE / json.loads(answer)["path"]
        self.addCleanup(path.unlink)
        notebook = nbformat.read(path, 4)
        self.assertEqual(notebook.metadata.kernelspec.name, "convbook")
        template = nbformat.read(CLONE / "tools" / "notebooks" / "new.ipynb", 4)
        self.assertEqual([cell.source for cell in notebook.cells], [cell.source for cell in template.cells])
        status, _, answer = self.ask("/api/contents/build", "POST", self.key(), '{"type": "file", "ext": ".txt"}')
        self.addCleanup((CLONE / json.loads(answer)["path"]).unlink)
        self.assertEqual((CLONE / json.loads(answer)["path"]).read_text(), "")

    def test_the_token_is_for_its_user_only(self):
        folder = self.lab.about.parent
        self.assertFalse(folder.stat().st_mode & 0o077)
        readable = [path for path in (CLONE / ".venv").glob("*.log") if self.lab.token.encode() in path.read_bytes()]
        self.assertEqual(readable, [])
        for process in psutil.process_iter(["cmdline"]):  # anybody can list these
            self.assertNotIn(self.lab.token, " ".join(process.info["cmdline"] or []))
        self.assertIn(f"token={self.lab.token}", self.lab.log.read_text())  # the user has it from the terminal


if __name__ == "__main__":
    unittest.main()
