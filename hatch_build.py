"""Compiles the one C file of the service while the package is built, where there is a C compiler.

Without one the wheel is pure Python and works the same, only slower in searches of very many images.
"""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ENGINE = "match_service/engine"


class CompileHook(BuildHookInterface):  # type: ignore[type-arg,misc]
    """Adds ``_inner.so`` to the wheel, or, for an editable install, to the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before each build; says what it did in one line."""
        compiler = shlex.split(os.environ.get("CC", "cc"))
        if self.target_name != "wheel" or os.name != "posix":
            return
        if not shutil.which(compiler[0]):
            self.app.display_warning("No C compiler: searches of very many images will be slower.")
            return
        engine = Path(self.root, "service", ENGINE)
        made = engine / "_inner.so" if version == "editable" else Path(self.directory, "_inner.so")
        made.parent.mkdir(parents=True, exist_ok=True)
        part = made.with_suffix(f".{os.getpid()}")
        command = [*compiler, "-O3", "-shared", "-fPIC", "-o", str(part), str(engine / "inner.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.app.display_warning(f"The C compiler failed, so searches will be slower: {done.stderr}")
            return
        part.replace(made)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        if version != "editable":
            build_data["force_include"][str(made)] = f"{ENGINE}/_inner.so"
