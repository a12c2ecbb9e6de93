# shellcheck shell=bash
# What the emulated Pi and the emulated phone share: Debian's arm64 user land on this x86-64 Linux, run by user-mode QEMU.
# It is real software (sshd, adbd, Python, the runtimes' own Arm wheels) at a speed that says nothing about any board.
# Needs root, binfmt_misc, and Debian's mmdebstrap, apt-get and dpkg-deb.

# trixie's QEMU: bookworm's 7.2 crashes when onnxruntime is imported.
QEMU_SUITE=trixie
ROOT_SUITE=bookworm
CACHE=${EDGEKD_CACHE:-$HOME/.cache/edgekd}/emulated

fail() {
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "  $2" >&2
    exit "${3:-1}"
}

# What this machine lacks, not what went wrong: status 77, by which tests know to be skipped.
lacks() { fail "$1" "${2:-}" 77; }

need_tools() {
    [ "$(id -u)" = 0 ] || lacks "an arm64 root file system needs root" "Run it as root, or in a privileged container."
    local missing=() packages=()
    for tool in "$@"; do
        command -v "$tool" >/dev/null && continue
        missing+=("$tool")
        case $tool in
        ip) packages+=(iproute2) ;;
        fdtput) packages+=(device-tree-compiler) ;;
        qemu-system-aarch64) packages+=(qemu-system-arm) ;;
        ssh-keygen) packages+=(openssh-client) ;;
        unshare | nsenter) packages+=(util-linux) ;;
        *) packages+=("$tool") ;;
        esac
    done
    [ ${#missing[@]} = 0 ] || lacks "not installed: ${missing[*]}" "apt-get install --no-install-recommends ${packages[*]}"
}

# apt options for a suite that this machine need not be of; its lists stay in the cache.
suite_options() {
    local lists=$CACHE/apt/$1 mirror
    mkdir -p "$lists/partial"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -1)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$lists.list"
    SUITE_OPTIONS=(-o "Dir::Etc::sourcelist=$lists.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$lists"
        -o APT::Sandbox::User=root -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
}

# The emulator, registered so that the kernel starts arm64 programs with it, in any root (flag F).
emulator() {
    local qemu=$CACHE/qemu-aarch64 work
    unshare --mount --pid --net --fork true 2>/dev/null ||
        lacks "this machine grants no namespaces of its own" "Use a privileged container."
    if [ ! -x "$qemu" ]; then
        suite_options "$QEMU_SUITE"
        apt-get "${SUITE_OPTIONS[@]}" -qq -o APT::Update::Error-Mode=any update ||
            lacks "no mirror of Debian's $QEMU_SUITE can be reached"
        work=$(mktemp -d "$CACHE/qemu.XXXXXX")
        (cd "$work" && apt-get "${SUITE_OPTIONS[@]}" -qq download qemu-user && dpkg-deb -x qemu-user_*.deb . &&
            mv usr/bin/qemu-aarch64 "$qemu") || { rm -rf "$work"; fail "QEMU cannot be fetched"; }
        rm -rf "$work"
    fi
    local binfmt=/proc/sys/fs/binfmt_misc
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt ||
        lacks "this kernel has no binfmt_misc" "Use a kernel or a container that may mount it."
    if [ -e $binfmt/edgekd-aarch64 ] && ! grep -qx "interpreter $qemu" $binfmt/edgekd-aarch64; then
        echo -1 >$binfmt/edgekd-aarch64
    fi
    # The magic number of an arm64 ELF file. P keeps argv[0], by which busybox knows what it is called for.
    [ -e $binfmt/edgekd-aarch64 ] || printf '%s' ':edgekd-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$qemu"':POCF' >$binfmt/register
}

# debian SUITE FOLDER PACKAGE...: an arm64 root file system of unpacked packages, none of them configured.
debian() {
    local suite=$1 root=$2
    shift 2
    mmdebstrap --quiet --architectures=arm64 --variant=extract --include="$(IFS=,; echo "$*")" "$suite" "$root" || {
        suite_options "$suite"
        # Only a mirror that cannot be reached is this machine's lack; all else is a fault of ours.
        apt-get "${SUITE_OPTIONS[@]}" -qq -o APT::Update::Error-Mode=any update 2>/dev/null || lacks "no mirror of Debian's $suite can be reached"
        fail "Debian's $suite cannot be unpacked here"
    }
}

# wheels FOLDER: what serves artifacts on CPython 3.11 for arm64, at the versions that this Python has of it.
wheels() {
    local python=${PYTHON:-python3} asked=() name version
    for name in ${WHEELS:-numpy tokenizers onnxruntime openvino ai-edge-litert}; do
        version=$("$python" -c "from importlib.metadata import version; print('==' + version('$name'))" 2>/dev/null || true)
        asked+=("$name$version")
    done
    local platforms=()
    for tag in manylinux_2_35 manylinux_2_34 manylinux_2_31 manylinux_2_28 manylinux_2_27 manylinux2014; do
        platforms+=(--platform "${tag}_aarch64")
    done
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --target "$1" "${platforms[@]}" \
        --only-binary=:all: --python-version 3.11 "${asked[@]}" packaging
}

# processor FOLDER MIDR: what a kernel's /sys tells of two Arm cores; without it OpenVINO's thread pool crashes.
processor() {
    local cpus=$1/sys/devices/system/cpu core name
    mkdir -p "$cpus"
    for name in possible present online; do echo 0-1 >"$cpus/$name"; done
    for core in 0 1; do
        mkdir -p "$cpus/cpu$core/topology" "$cpus/cpu$core/regs/identification"
        echo "$2" >"$cpus/cpu$core/regs/identification/midr_el1"
        echo 0 >"$cpus/cpu$core/topology/physical_package_id"
        echo $core >"$cpus/cpu$core/topology/core_id"
        for name in core_siblings package_cpus; do echo 3 >"$cpus/cpu$core/topology/$name"; done
        for name in thread_siblings core_cpus; do echo $((1 << core)) >"$cpus/cpu$core/topology/$name"; done
        echo 0-1 >"$cpus/cpu$core/topology/core_siblings_list"
        echo $core >"$cpus/cpu$core/topology/thread_siblings_list"
    done
}

# sshd_root FOLDER KEYS: Debian with an sshd that takes the key KEYS/id_ed25519 of the user pi, and the runtimes' wheels.
sshd_root() {
    local root=$1 keys=$2
    debian "$ROOT_SUITE" "$root" python3.11-minimal libpython3.11-stdlib libstdc++6 libgcc-s1 openssh-server \
        openssh-sftp-server dash coreutils libc-bin grep tar gzip procps util-linux
    ln -sf python3.11 "$root/usr/bin/python3"
    ln -sf dash "$root/bin/sh"
    printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\npi:x:1000:1000::/home/pi:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\npi:x:1000:\n' >"$root/etc/group"
    mkdir -p "$root/run/sshd" "$root/home/pi/.ssh"
    ssh-keygen -q -t ed25519 -N '' -C edgekd -f "$root/etc/ssh/ssh_host_ed25519_key"
    ssh-keygen -q -t ed25519 -N '' -C edgekd -f "$keys/id_ed25519"
    cp "$keys/id_ed25519.pub" "$root/home/pi/.ssh/authorized_keys"
    chmod 700 "$root/home/pi" "$root/home/pi/.ssh"
    chown -R 1000:1000 "$root/home/pi"
    wheels "$root/opt/edgekd"
}

# sshd_config ROOT ADDRESS PORT LINE
sshd_config() {
    cat >"$1/etc/ssh/sshd_config" <<CONFIG
Port $3
ListenAddress $2
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UsePAM no
$4
Subsystem sftp /usr/lib/openssh/sftp-server
CONFIG
}

# device_file FOLDER NAME PORT: the device file, and the host key that ssh is to find.
device_file() {
    local folder=$1
    echo "[127.0.0.1]:$3 $(cut -d' ' -f1,2 "$folder/root/etc/ssh/ssh_host_ed25519_key.pub")" >"$folder/known_hosts"
    cat >"$folder/$2.yaml" <<DEVICE
# Written by devices/emulated/$2.sh.
name: $2
transport:
  {type: ssh, host: 127.0.0.1, port: $3, user: pi, identity: $folder/id_ed25519, known_hosts: $folder/known_hosts}
provider: {type: system, python: python3, path: /opt/edgekd}
runtimes: [onnxruntime, openvino, tflite]
expect: {architecture: aarch64, model: "Raspberry Pi 5*", min_memory_mb: 512}
run: {threads: [1], min_runs: 5, min_s: 0, repeats: 1, max_s: 60, warmup_s: 0, score_rows: 16}
emulated: true
DEVICE
}

# in_root FOLDER PID_FILE COMMAND...: start a daemon in a root with processes and mounts of its own; ending it ends all.
in_root() {
    local root=$1 pid_file=$2
    shift 2
    mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/small"
    chmod 1777 "$root/tmp"
    # shellcheck disable=SC2016  # the inner shell's own arguments
    # shellcheck disable=SC2086  # IN_NET is words: what enters another network first
    setsid ${IN_NET:-} unshare --mount --pid --fork --kill-child sh -c '
        root=$1; shift
        mount --make-rprivate / && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
            mount -t tmpfs -o size=2m,mode=1777 tmpfs "$root/small" || exit 1 # a disk that fills up
        exec chroot "$root" "$@"' sh "$root" "$@" </dev/null >"$root.log" 2>&1 &
    echo $! >"$pid_file"
}

stop() {
    [ -f "$1" ] || return 0
    # KILL: unshare does not heed TERM. Its child, the first process of the root, ends with it, and so all of them.
    kill -KILL "$(cat "$1")" 2>/dev/null || true
    rm -f "$1"
}
