#!/usr/bin/env bash
# An emulated Android phone: an arm64 root with nothing but busybox and a real adbd, in a network of its own, and a real adb
# client that reaches it. Tests the way to a phone, not its speed: no latency of it is ever stated.
#   devices/emulated/phone.sh start FOLDER    makes it at first (a minute), writes FOLDER/phone.yaml and FOLDER/adb
#   devices/emulated/phone.sh stop FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=devices/emulated/arm64.sh
source "$here/arm64.sh"
ADBD_PORT=6555   # outside 5555 to 5585, where an adb server looks for emulators by itself
SERVER_PORT=5038 # an adb server of the user's own stays alone

make_root() {
    local root=$1
    # trixie packages a real adbd; busybox is all the shell there is, as small as a phone's toybox.
    debian trixie "$root" adbd busybox-static libc-bin
    local name
    for name in bin sbin lib; do ln -s "usr/$name" "$root/$name"; done
    for name in sh cat mkdir rm mv tar gzip sha256sum env pwd uname ls df; do
        [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
    done
    mkdir -p "$root/data/local/tmp" "$root/system/bin" "$root/sys"
    ln -sf /bin/sh "$root/system/bin/sh"
    printf 'root:x:0:0:root:/:/bin/sh\nshell:x:2000:2000::/data/local/tmp:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nshell:x:2000:\n' >"$root/etc/group"
    processor "$root" 0x00000000414fd0b1
}

start() {
    local folder=$1
    need_tools mmdebstrap apt-get dpkg-deb unshare nsenter ip adb
    mkdir -p "$folder" "$CACHE"
    folder=$(cd "$folder" && pwd)
    emulator
    if [ ! -d "$folder/root" ]; then
        rm -rf "$folder/half"
        make_root "$folder/half"
        mv "$folder/half" "$folder/root"
    fi
    [ -f "$folder/python.tar.gz" ] || "$here/../bundle.sh" "$folder/python.tar.gz"
    stop_all "$folder"
    # One network for adbd, the adb server and its clients: adbd listens on every interface.
    setsid unshare --net sh -c 'ip link set lo up && exec sleep infinity' </dev/null >/dev/null 2>&1 &
    echo $! >"$folder/net"
    sleep 0.3
    cat >"$folder/adb" <<ADB
#!/bin/sh
exec nsenter --net=/proc/$(cat "$folder/net")/ns/net env ANDROID_ADB_SERVER_PORT=$SERVER_PORT HOME=$folder adb "\$@"
ADB
    chmod +x "$folder/adb"
    IN_NET="nsenter --net=/proc/$(cat "$folder/net")/ns/net" in_root "$folder/root" "$folder/pid" \
        /bin/env QEMU_CPU=cortex-a76 ADBD_PORT=$ADBD_PORT /usr/lib/android-sdk/platform-tools/adbd
    cat >"$folder/phone.yaml" <<DEVICE
# Written by devices/emulated/phone.sh.
name: phone
transport: {type: adb, serial: "127.0.0.1:$ADBD_PORT", adb: $folder/adb}
provider: {type: bundle, archive: $folder/python.tar.gz}
runtimes: [onnxruntime, tflite]
expect: {architecture: aarch64}
run: {threads: [1], min_runs: 5, min_s: 0, repeats: 1, max_s: 60, warmup_s: 0, score_rows: 16}
emulated: true
DEVICE
    local tries
    for tries in $(seq 100); do
        if "$folder/adb" connect "127.0.0.1:$ADBD_PORT" 2>/dev/null | grep -q 'connected to'; then
            echo "$folder/phone.yaml"
            return
        fi
        sleep 0.2
    done
    fail "adbd does not answer after $tries tries" "$(tail -5 "$folder/root.log")"
}

stop_all() {
    [ ! -x "$1/adb" ] || "$1/adb" kill-server 2>/dev/null || true
    stop "$1/pid"
    stop "$1/net"
}

case "${1:-}" in
start) start "${2:?a folder}" ;;
stop) stop_all "${2:?a folder}" ;;
*) sed -n '2,5p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
