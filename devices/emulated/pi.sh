#!/usr/bin/env bash
# An emulated Raspberry Pi: an arm64 Debian with a real sshd on this machine's loopback. Tests the way to a Pi, not its
# speed: `emulated: true` in the device file that it writes keeps every latency out of the claims.
#   devices/emulated/pi.sh start FOLDER [PORT]    makes it at first (a minute), writes FOLDER/pi.yaml
#   devices/emulated/pi.sh stop FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=devices/emulated/arm64.sh
source "$here/arm64.sh"

make_root() {
    sshd_root "$@"
    mkdir -p "$1/sys/firmware/devicetree/base"
    printf 'Raspberry Pi 5 Model B Rev 1.0\0' >"$1/sys/firmware/devicetree/base/model"
    processor "$1" 0x00000000414fd0b1
}

start() {
    local folder=$1 port=$2
    need_tools mmdebstrap apt-get dpkg-deb ssh-keygen unshare
    mkdir -p "$folder" "$CACHE"
    folder=$(cd "$folder" && pwd)
    emulator
    if [ ! -d "$folder/root" ]; then
        rm -rf "$folder/half" "$folder"/id_ed25519*
        make_root "$folder/half" "$folder"
        mv "$folder/half" "$folder/root"
    fi
    stop "$folder/pid"
    # cortex-a76 is the Pi 5's core; QEMU's `max` is 17 times slower and gives other INT8 results.
    sshd_config "$folder/root" 127.0.0.1 "$port" "SetEnv QEMU_CPU=cortex-a76"
    in_root "$folder/root" "$folder/pid" /usr/bin/env QEMU_CPU=cortex-a76 /usr/sbin/sshd -D -e
    device_file "$folder" pi "$port"
    local tries
    for tries in $(seq 100); do
        # Whoever else listens there is not ours.
        kill -0 "$(cat "$folder/pid")" 2>/dev/null || break
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$folder/pi.yaml"
            return
        fi
        sleep 0.1
    done
    fail "sshd does not answer on port $port after $tries tries" "$(tail -5 "$folder/root.log")"
}

case "${1:-}" in
start) start "${2:?a folder}" "${3:-2222}" ;;
stop) stop "${2:?a folder}/pid" ;;
*) sed -n '2,5p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
