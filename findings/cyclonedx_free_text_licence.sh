#!/usr/bin/env bash
# cyclonedx-bom 7.5.0: `cyclonedx-py environment` leaves a package without any licence in the bill of materials where its metadata
# name one in words that are no SPDX identifier and no classifier: protobuf's "License: 3-Clause BSD License", ray's "License: Apache
# 2.0". Nothing is said, the document is valid, and a check for forbidden licences passes. With --gather-license-texts, whose name
# promises texts, the same words are there.
# What one would expect: a licence of that name, as CycloneDX has for what SPDX does not know, with or without texts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/tool"
"$folder/tool/bin/pip" install --quiet cyclonedx-bom==7.5.0
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps protobuf==6.33.6
for option in "" --gather-license-texts; do
    # shellcheck disable=SC2086 - no option is no argument
    "$folder/tool/bin/cyclonedx-py" environment $option "$folder/venv/bin/python" >"$folder/bill$option.json"
done
"$folder/tool/bin/python" - "$folder" <<'PY'
import json
import sys
from pathlib import Path

found = {}
for option in ("", "--gather-license-texts"):
    components = json.loads(Path(sys.argv[1], f"bill{option}.json").read_text())["components"]
    (protobuf,) = (one for one in components if one["name"] == "protobuf")
    found[option or "as it comes"] = "3-Clause BSD License" in json.dumps(protobuf.get("licenses", []))
    print(f"protobuf 6.33.6, {option or 'as it comes'}: {json.dumps(protobuf.get('licenses'))[:150]}")
assert found == {"as it comes": False, "--gather-license-texts": True}, found
PY
