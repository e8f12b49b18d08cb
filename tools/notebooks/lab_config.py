"""JupyterLab's settings for the book. Whoever reaches it can run programs as its user, so these take precedence over
settings of other Jupyter servers on this machine, in /etc/jupyter for instance, which may be open on purpose."""

import secrets
from pathlib import Path

import nbformat
from jupyter_server.auth.identity import PasswordIdentityProvider
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from traitlets import validate

NEW = Path(__file__).with_name("new.ipynb")


class AlwaysAToken(PasswordIdentityProvider):
    """Makes up a token where settings say that there is none."""

    @validate("token")
    def _made_up(self, proposal):
        if proposal["value"] or self.hashed_password:
            return proposal["value"]
        self.token_generated = True  # so it is shown in the terminal
        return secrets.token_hex(24)


class Contents(AsyncLargeFileManager):
    """Gives new notebooks some cells that run."""

    async def new(self, model=None, path=""):
        model = model or {}
        if path.endswith(".ipynb") and "content" not in model:
            model = {**model, "type": "notebook", "format": "json", "content": nbformat.read(NEW, 4)}
        return await super().new(model, path)


c = get_config()  # noqa: F821, from traitlets
c.ServerApp.identity_provider_class = AlwaysAToken
c.ServerApp.allow_unauthenticated_access = False
c.ServerApp.disable_check_xsrf = False
c.ServerApp.allow_origin = ""
c.ServerApp.allow_origin_pat = ""
c.ServerApp.allow_credentials = False

# What JupyterLab lacks for the book, as an extension.
c.LabApp.extra_labextensions_path = [str(Path(__file__).resolve().parent / "lab")]

# A new notebook has the book's kernel, and cells in its language.
c.MultiKernelManager.default_kernel_name = "convbook"
c.KernelSpecManager.allowed_kernelspecs = {"convbook"}
c.ServerApp.contents_manager_class = Contents
