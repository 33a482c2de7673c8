"""The functions of the adapters that handle one item, and how one of them is broken: the table of `broken.py`.

A function that is missing here and raises would stop more than its mail; the table is complete when every function that an
adapter calls for each mail, row, address or file is in it, or below one that is.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """A function of an adapter and the way on which it meets the mails.

    `way`: `new` mails; `there`, their records stand already; `lost`, the answer of the save was lost; `files`, the answer of
    the last file's upload was lost, so that all are looked at again; `refused` by the org;
    `unsync`, saved before and taken back. `tasks`: an org without Enhanced Email. `short`: part of the short run; each way
    and each place where a mistake is caught is among them. `then`: the decision of the repaired product begins with it.
    """

    file: str
    function: str
    way: str = "new"
    tasks: bool = False
    short: bool = False

    @property
    def name(self) -> str:
        return f"{Path(self.file).stem}.{self.function}{'' if self.way == 'new' else f' ({self.way})'}"

    @property
    def then(self) -> str:
        return {"refused": "held.refused.", "unsync": "removed.unsync"}.get(self.way, "saved.")


GRAPH, CRM = "mailbox/graph", "crm/salesforce"
ROWS = (
    Row(f"{GRAPH}_map.py", "mail", short=True),
    Row(f"{GRAPH}_map.py", "mail_text", short=True),
    Row(f"{GRAPH}_map.py", "attachment"),
    Row(f"{GRAPH}_map.py", "version"),
    Row(f"{GRAPH}_map.py", "text"),
    Row(f"{GRAPH}_map.py", "moment"),
    Row(f"{GRAPH}_map.py", "names"),
    Row(f"{GRAPH}_map.py", "own_name"),
    Row(f"{GRAPH}_map.py", "_headers"),
    Row(f"{GRAPH}_map.py", "_first_id"),
    Row(f"{GRAPH}_map.py", "_address"),
    Row(f"{GRAPH}_map.py", "_addresses"),
    Row(f"{GRAPH}.py", "open", short=True),
    Row(f"{GRAPH}.py", "_mark", "refused", short=True),
    Row(f"{CRM}_map.py", "email_message", short=True),
    Row(f"{CRM}_map.py", "identifier"),
    Row(f"{CRM}_map.py", "moment"),
    Row(f"{CRM}_map.py", "relations"),
    Row(f"{CRM}_map.py", "sender_relations"),
    Row(f"{CRM}_map.py", "relation_rows"),
    Row(f"{CRM}_map.py", "_lists_of_ids"),
    Row(f"{CRM}_map.py", "_unlinked"),
    Row(f"{CRM}_map.py", "_sendable"),
    Row(f"{CRM}_text.py", "clean"),
    Row(f"{CRM}_text.py", "line"),
    Row(f"{CRM}_text.py", "narrow"),
    Row(f"{CRM}_text.py", "narrow_html"),
    Row(f"{CRM}_text.py", "without_cid"),
    Row(f"{CRM}_ask.py", "literal", short=True),
    Row(f"{CRM}_ask.py", "_number_forms"),
    Row(f"{CRM}_ask.py", "_identifier_form"),
    Row(f"{CRM}_ask.py", "_person", short=True),
    Row(f"{CRM}_ask.py", "_opportunity", short=True),
    Row(f"{CRM}_ask.py", "_case", short=True),
    Row(f"{CRM}_ask.py", "_saved_row", "there", short=True),
    Row(f"{CRM}.py", "_made"),
    Row(f"{CRM}.py", "_every_relation", "lost", short=True),
    Row(f"{CRM}.py", "_linked", "lost"),
    Row(f"{CRM}.py", "attach"),
    Row(f"{CRM}.py", "remove", "unsync", short=True),
    Row(f"{CRM}_errors.py", "row_error", "refused", short=True),
    Row(f"{CRM}_errors.py", "_refused", "refused"),
    Row(f"{CRM}_files.py", "version_fields"),
    Row(f"{CRM}_files.py", "path_of"),
    Row(f"{CRM}_files.py", "Upload.__init__"),
    Row(f"{CRM}_files.py", "file_of", "files", short=True),
    Row(f"{CRM}_files.py", "name_of", "files"),
    Row(f"{CRM}_task.py", "task", tasks=True, short=True),
    Row(f"{CRM}_task.py", "description", tasks=True),
    Row(f"{CRM}_task.py", "_shown", tasks=True),
    Row(f"{CRM}_task.py", "identifier_in", "lost", tasks=True),
)


# --- the product with one planted line


def planted(row: Row, folder: Path, marks: Path) -> tuple[str, range]:
    """Copies the product into the folder with the line in it; answers file name and lines of the planted function."""
    for name in ("shared", "functions"):
        shutil.copytree(ROOT / name, folder / name)  # what is compiled already comes with it
    for name in ("function_app.py", "host.json"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "sandbox").symlink_to(ROOT / "sandbox")
    file = folder / "shared" / row.file
    lines = file.read_text(encoding="utf-8").splitlines()
    found = _definition(ast.parse("\n".join(lines)).body, row.function.split("."))
    body = found.body[1:] if ast.get_docstring(found) is not None else found.body
    indent = " " * body[0].col_offset
    condition = f"__import__('re').search(open({str(marks)!r}).read(), repr(locals()))"
    lines.insert(body[0].lineno - 1, f"{indent}if {condition}: raise ZeroDivisionError")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert found.end_lineno is not None
    return file.name, range(found.lineno, found.end_lineno + 2)


def _definition(body: Sequence[ast.stmt], names: Sequence[str]) -> ast.FunctionDef:
    """The function of that name, in a class of the module or at its top."""
    for one in body:
        if isinstance(one, ast.ClassDef):
            wanted = names[1:] if len(names) > 1 and one.name == names[0] else names
            inner = [each for each in one.body if isinstance(each, ast.FunctionDef) and [each.name] == list(wanted)]
            if inner:
                return inner[0]
        elif isinstance(one, ast.FunctionDef) and [one.name] == list(names):
            return one
    raise LookupError(f"no function {'.'.join(names)} there")
