"""Runs the quick judge on several copies of the stand-in, each in a process of its own that is forked after the imports.

`python salesforce_judges.py FOLDER...`: prints {folder: [exit code, stdout, stderr]} as JSON. The libraries are imported once,
before the forks: they are most of what a judgement costs.

It must never import the stand-in itself before a fork: every child has its own copy first on its path.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path

import aiohttp.web
import cryptography.x509
import jwt
import requests

WARM = (aiohttp.web, cryptography.x509, jwt, requests)
JUDGE = "tests.contract.salesforce_facts"
AT_ONCE = 2


def judge(folder: str) -> int:
    """The child: runs the judge of one copy with its output in files, and returns its exit code."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.path.insert(0, folder)
    os.chdir(folder)
    code: object = 0
    try:
        runpy.run_module(JUDGE, run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 the verdict of a judge that died is its traceback
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 1


def main(folders: list[str]) -> None:
    running: dict[int, str] = {}
    codes: dict[str, int] = {}
    for folder in folders:
        if len(running) == AT_ONCE:
            wait(running, codes)
        child = os.fork()
        if child == 0:
            os._exit(judge(folder))
        running[child] = folder
    while running:
        wait(running, codes)
    verdicts = {one: [code, *((Path(one) / name).read_text() for name in ("stdout", "stderr"))] for one, code in codes.items()}
    print(json.dumps(verdicts))


def wait(running: dict[int, str], codes: dict[str, int]) -> None:
    child, status = os.wait()
    codes[running.pop(child)] = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main(sys.argv[1:])
