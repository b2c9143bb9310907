"""Writes tests/conformance/schemas.json: every operator of the pinned onnx package, by domain, with
the versions that it has. Run it when the pinned version changes.

    .oracle/venv/bin/python tests/oracle/export_schemas.py tests/conformance/schemas.json
"""

import json
import sys
from pathlib import Path

import onnx.defs


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: export_schemas.py OUT_FILE")
    versions = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        versions.setdefault(schema.domain, {}).setdefault(schema.name, set()).add(schema.since_version)
    lines = []
    for domain in sorted(versions):
        operators = versions[domain]
        rows = [f'  {json.dumps(op)}: {sorted(operators[op])}' for op in sorted(operators)]
        lines.append(f' {json.dumps(domain)}: {{\n' + ",\n".join(rows) + "\n }")
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
