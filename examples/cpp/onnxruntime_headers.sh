#!/usr/bin/env bash
# ONNX Runtime's C++ headers into FOLDER, on Debian 12, as root: from Debian 13's package (from there on: apt-get install
# libonnxruntime-dev). It is unpacked, not installed: its library is built for Debian 13. Prints the folder to name as
# ONNXRUNTIME_INCLUDE.
#   examples/cpp/onnxruntime_headers.sh FOLDER
set -euo pipefail
folder=$(realpath -m "${1:?use: $0 FOLDER}")
mkdir -p "$folder"/{lists/partial,cache/archives/partial}
# The machine's own source of packages, by the other release's name.
uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE '(https?|mirror\+file)://?[^ ]*/debian/?( |$)' | head -n 1 || true)
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] ${uri% } trixie main" >"$folder/sources.list"
: >"$folder/status"
apt() {
    apt-get -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$folder/lists" \
        -o "Dir::Cache=$folder/cache" -o "Dir::State::status=$folder/status" -o APT::Sandbox::User=root --quiet=2 "$@" >&2
}
apt update
(cd "$folder" && apt download libonnxruntime-dev)
dpkg -x "$folder"/libonnxruntime-dev_*.deb "$folder"
rm -rf "$folder"/{lists,cache}
echo "$folder/usr/include/onnxruntime"
