#!/usr/bin/env bash
# A whole emulated board: QEMU's arm64 machine with a device tree that calls itself a Raspberry Pi 5, Debian's own kernel,
# and an sshd on this machine's loopback. Slower than pi.sh, and nearer: its /proc and /sys are a real Arm kernel's.
#   devices/emulated/board.sh start FOLDER [PORT]    makes it at first (two minutes), writes FOLDER/board.yaml
#   devices/emulated/board.sh stop FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=devices/emulated/arm64.sh
source "$here/arm64.sh"
# What Debian's cloud kernel needs for a network on virtio; all else of the root is in memory.
MODULES="virtio_ring virtio virtio_mmio failover net_failover virtio_net"

make_root() {
    local folder=$1 root=$1/half kernel=$1/kernel.half module
    sshd_root "$root" "$folder"
    debian "$ROOT_SUITE" "$kernel" linux-image-cloud-arm64 busybox-static
    cp "$kernel"/boot/vmlinuz-* "$folder/vmlinuz"
    cp "$kernel/bin/busybox" "$root/bin/busybox"
    mkdir -p "$root/modules"
    for module in $MODULES; do
        find "$kernel/lib/modules" "$kernel/usr/lib/modules" -name "$module.ko*" -exec cp {} "$root/modules/" \; 2>/dev/null || true
    done
    rm -rf "$kernel"
    cat >"$root/init" <<'INIT'
#!/bin/sh
busybox mkdir -p /proc /sys /dev/pts /tmp /run/sshd
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs tmpfs /tmp
busybox chmod 1777 /tmp
for module in MODULES; do busybox insmod /modules/$module.ko; done
busybox ip link set lo up
busybox ip link set eth0 up
busybox ip addr add 10.0.2.15/24 dev eth0
exec /usr/sbin/sshd -D -e
INIT
    sed -i "s/MODULES/$MODULES/" "$root/init"
    chmod +x "$root/init"
    chmod 1777 "$root/tmp" 2>/dev/null || true
    sshd_config "$root" 0.0.0.0 22 ""
}

start() {
    local folder=$1 port=$2
    need_tools mmdebstrap apt-get dpkg-deb ssh-keygen qemu-system-aarch64 fdtput cpio
    mkdir -p "$folder" "$CACHE"
    folder=$(cd "$folder" && pwd)
    emulator # mmdebstrap asks for one, though it runs nothing of what it unpacks
    if [ ! -d "$folder/root" ]; then
        rm -rf "$folder"/*half "$folder"/id_ed25519*
        make_root "$folder"
        (cd "$folder/half" && find . | cpio --quiet -o -H newc >"$folder/root.cpio")
        mv "$folder/half" "$folder/root"
    fi
    stop "$folder/pid"
    local machine=(-machine virt -cpu cortex-a76 -smp 2 -m 3072)
    qemu-system-aarch64 "${machine[@]}" -nic none -display none -machine dumpdtb="$folder/board.dtb"
    fdtput -t s "$folder/board.dtb" / model "Raspberry Pi 5 Model B Rev 1.0"
    setsid qemu-system-aarch64 "${machine[@]}" -dtb "$folder/board.dtb" -kernel "$folder/vmlinuz" -initrd "$folder/root.cpio" \
        -append "console=ttyAMA0 panic=-1" -no-reboot -display none -serial "file:$folder/console.log" \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-10.0.2.15:22" -device virtio-net-device,netdev=net \
        </dev/null >"$folder/qemu.log" 2>&1 &
    echo $! >"$folder/pid"
    device_file "$folder" board "$port"
    local tries
    for tries in $(seq 60); do
        # Whoever else listens there is not ours.
        kill -0 "$(cat "$folder/pid")" 2>/dev/null || break
        # QEMU itself takes the connection at once: only a banner is an sshd.
        if (exec 3<>"/dev/tcp/127.0.0.1/$port" && read -r -t 2 -u 3 banner && [[ $banner == SSH-* ]]) 2>/dev/null; then
            echo "$folder/board.yaml"
            return
        fi
        sleep 0.5
    done
    fail "the board does not answer on port $port after $tries tries" "$(tail -5 "$folder/qemu.log" "$folder/console.log")"
}

case "${1:-}" in
start) start "${2:?a folder}" "${3:-2223}" ;;
stop) stop "${2:?a folder}/pid" ;;
*) sed -n '2,5p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
