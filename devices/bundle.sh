#!/usr/bin/env bash
# A Python for arm64 boards and phones that have none: Debian's python3.11 and its C library, with numpy, tokenizers,
# ONNX Runtime and LiteRT, as one archive for a device file's `provider: {type: bundle, archive: FILE}`. Experimental: it
# runs in an emulated phone; no real one has confirmed it yet. Needs Debian's mmdebstrap or apt-get, and pip, as root.
#   devices/bundle.sh ARCHIVE.tar.gz
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=devices/emulated/arm64.sh
source "$here/emulated/arm64.sh"
archive=${1:?the archive to write}
need_tools mmdebstrap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debian "$ROOT_SUITE" "$work/root" python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libstdc++6 libgcc-s1 \
    zlib1g libexpat1 libbz2-1.0 liblzma5 libffi8 libssl3 libsqlite3-0 libuuid1
mkdir -p "$work/out/bin" "$work/out/lib"
cp "$work/root/usr/bin/python3.11" "$work/out/bin/"
cp -r "$work/root/usr/lib/python3.11" "$work/out/lib/"
# Flat, and links resolved: a phone's file systems and tar programs differ.
find "$work/root/lib/aarch64-linux-gnu" "$work/root/usr/lib/aarch64-linux-gnu" -maxdepth 1 -name '*.so*' -exec cp -Lf {} "$work/out/lib/" \;
WHEELS="numpy tokenizers onnxruntime ai-edge-litert" wheels "$work/out/packages"
find "$work/out" -name __pycache__ -prune -exec rm -rf {} +
tar czf "$archive.half" --sort=name --owner=0 --group=0 -C "$work/out" .
mv "$archive.half" "$archive"
echo "$archive ($(du -h "$archive" | cut -f1))"
