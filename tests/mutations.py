"""Makes each change that docs/pains.md names in a copy, and sees the test fail that is named with it.

It exists because a test that cannot fail shows nothing: `make reliability` runs it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

from pains import PAINS, ROOT, Proof

COPIED = ("operator", "service", "crds", "charts", "tests", "docs", "examples", "pyproject.toml", "Makefile")
PASSED, FAILED = 0, 1
"""Exit codes of pytest; any other one means that the test could not be run at all."""


def main() -> int:
    """Exit code 1 when a test does not pass as the product is, or passes after its change."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cluster", action="store_true", help="also those that need a real API server")
    parser.add_argument("-k", dest="word", default="", help="only tests whose name holds this")
    options = parser.parse_args()
    proofs = [
        proof
        for pain in PAINS
        for proof in pain.proofs
        if options.word in proof.test and (options.cluster or not proof.needs_cluster)
    ]
    with tempfile.TemporaryDirectory(prefix="match-mutations-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, ignore=ignored) if source.is_dir() else shutil.copy(
                source, copy / name
            )
        failures = [sentence for proof in proofs if (sentence := judge(proof, copy))]
    print(f"{len(proofs) - len(failures)} of {len(proofs)} changes were found by the test named for them")
    return 1 if failures else 0


def judge(proof: Proof, copy: Path) -> str:
    """Why the proof is none; empty when it is one. The copy is left as it was."""
    started = time.monotonic()
    file = copy / proof.file
    text = file.read_text("utf-8")
    sentence = ""
    if text.count(proof.old) != 1:
        sentence = f"{proof.old!r} stands {text.count(proof.old)} times in {proof.file}"
    elif (done := run(proof, copy)).returncode != PASSED:
        sentence = f"it does not pass as the product is:\n{done.stdout}{done.stderr}"
    else:
        file.write_text(text.replace(proof.old, proof.new), "utf-8")
        done = run(proof, copy)
        file.write_text(text, "utf-8")
        if done.returncode == PASSED:
            sentence = f"it passes also with {proof.new!r} in {proof.file}"
        elif done.returncode != FAILED or "FAILED" not in done.stdout:
            sentence = f"it could not be run:\n{done.stdout}{done.stderr}"
    name = proof.test.rpartition("::")[2]
    print(f"{'!!' if sentence else 'ok'} {time.monotonic() - started:5.1f} s {name} {sentence}", flush=True)
    return sentence


def run(proof: Proof, copy: Path) -> "subprocess.CompletedProcess[str]":
    """The named test, on the copy."""
    paths = [copy / "service", copy / "operator", copy / "tests/cluster", copy / "tests/support"]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", proof.test]
    return subprocess.run(command, cwd=copy, env=env, check=False, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
