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
    local root=$1 keys=$2
    debian "$ROOT_SUITE" "$root" python3.11-minimal libpython3.11-stdlib libstdc++6 libgcc-s1 openssh-server \
        openssh-sftp-server dash coreutils libc-bin grep tar gzip procps util-linux
    ln -sf python3.11 "$root/usr/bin/python3"
    ln -sf dash "$root/bin/sh"
    printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\npi:x:1000:1000::/home/pi:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\npi:x:1000:\n' >"$root/etc/group"
    mkdir -p "$root/run/sshd" "$root/home/pi/.ssh" "$root/sys/firmware/devicetree/base"
    printf 'Raspberry Pi 5 Model B Rev 1.0\0' >"$root/sys/firmware/devicetree/base/model"
    processor "$root" 0x00000000414fd0b1
    ssh-keygen -q -t ed25519 -N '' -C edgekd -f "$root/etc/ssh/ssh_host_ed25519_key"
    ssh-keygen -q -t ed25519 -N '' -C edgekd -f "$keys/id_ed25519"
    cp "$keys/id_ed25519.pub" "$root/home/pi/.ssh/authorized_keys"
    chmod 700 "$root/home/pi" "$root/home/pi/.ssh"
    chown -R 1000:1000 "$root/home/pi"
    wheels "$root/opt/edgekd"
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
    cat >"$folder/root/etc/ssh/sshd_config" <<CONFIG
Port $port
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UsePAM no
SetEnv QEMU_CPU=cortex-a76
Subsystem sftp /usr/lib/openssh/sftp-server
CONFIG
    in_root "$folder/root" "$folder/pid" /usr/bin/env QEMU_CPU=cortex-a76 /usr/sbin/sshd -D -e
    echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$folder/root/etc/ssh/ssh_host_ed25519_key.pub")" >"$folder/known_hosts"
    cat >"$folder/pi.yaml" <<DEVICE
# Written by devices/emulated/pi.sh.
name: pi
transport:
  {type: ssh, host: 127.0.0.1, port: $port, user: pi, identity: $folder/id_ed25519, known_hosts: $folder/known_hosts}
provider: {type: system, python: python3, path: /opt/edgekd}
runtimes: [onnxruntime, openvino, tflite]
expect: {architecture: aarch64, model: "Raspberry Pi 5*", min_memory_mb: 512}
run: {threads: [1], min_runs: 5, repeats: 1, max_s: 60, warmup_s: 0, score_rows: 16}
emulated: true
DEVICE
    local tries
    for tries in $(seq 100); do
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
