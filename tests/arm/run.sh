#!/usr/bin/env bash
# The agent on aarch64 without such a board: `make test-arm`. Slow, and apart from `make test`.
#
# A Debian 12 root for arm64, made by debootstrap, whose programs qemu runs one by one (qemu-user). In it the agent
# is installed from a wheelhouse without a network, as on a device; then its core tests run, and one real inference
# over HTTP. Needs root (chroot, mounts) and, from apt: debootstrap qemu-user-static. The root is kept for the next
# run; ARM_FOLDER says where. What is mounted is seen by this script alone and goes with it.
#
# tests/arm/run.sh [TEST...]: those instead of the core tests.
set -euo pipefail

project="$(cd "$(dirname "$0")/../.." && pwd)"
folder="${ARM_FOLDER:-${XDG_CACHE_HOME:-$HOME/.cache}/limosa/arm64}"
python="${PYTHON:-python3}"
suite=bookworm
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
root="$folder/root"
binfmt=/proc/sys/fs/binfmt_misc
qemu=/usr/libexec/qemu-binfmt/aarch64-binfmt-P

# Why these: every decision (update, health, link, contracts), what is durable (store, fetch), what depends on the
# processor (runtimes, golden vectors, tensors, deltas), and one device whole, which takes two releases from a server
# and answers over HTTP. The commands of `limosa` are not for devices, and not installed here.
core=(
  tests/agent/test_supervisor.py::test_first_release_arrives_and_the_next_replaces_it
  tests/agent/update tests/agent/health
  tests/agent/link/test_desired_gate.py tests/agent/link/test_outbox.py
  tests/agent/fetch/test_delta.py tests/agent/fetch/test_slots.py tests/agent/fetch/test_install.py
  tests/agent/serving/test_tensor_codec.py tests/agent/serving/test_self_test.py
  tests/agent/serving/test_in_process.py tests/agent/serving/test_ring.py
  tests/agent/test_config.py
  tests/contracts --ignore=tests/contracts/test_cli_host.py
  # Not here, because qemu is not a board: it does not enforce RLIMIT_DATA, and it is no measure of time. An aarch64
  # processor divides without a trap, so the model that kills its runtime on x86-64 answers there.
  --deselect=tests/agent/serving/test_self_test.py::test_release_that_needs_too_much_memory_fails_in_its_child
  --deselect=tests/agent/serving/test_self_test.py::test_release_that_kills_its_child_is_named_by_the_signal
  --deselect=tests/contracts/test_binning.py::test_one_flush_is_vectorised
)

say() { printf '== %s\n' "$*" >&2; }

need() {
  [ "$(id -u)" -eq 0 ] || { echo "test-arm needs root: chroot and mounts" >&2; exit 1; }
  for program in debootstrap qemu-aarch64-static unshare; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [ ${#missing[@]} -eq 0 ] || {
    echo "missing: ${missing[*]}; apt-get install debootstrap qemu-user-static" >&2
    exit 1
  }
}

# The kernel must know who runs aarch64 programs. Systems with binfmt-support or systemd know it already.
register() {
  [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt"
  if [ ! -e "$binfmt/qemu-aarch64" ]; then
    say "telling the kernel that qemu runs aarch64 programs, until this ends"
    magic='\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":qemu-aarch64:M::$magic:$mask:$qemu:OPF" >"$binfmt/register"
    trap 'echo -1 >"$binfmt/qemu-aarch64"' EXIT
  fi
}

make_root() {
  [ -e "$folder/made" ] && return
  rm -rf "$root"
  mkdir -p "$folder"
  say "debootstrap $suite arm64"
  debootstrap --arch=arm64 --variant=minbase --include=python3,python3-venv,ca-certificates \
    "$suite" "$root" "$mirror" >"$folder/debootstrap.log" 2>&1 \
    || { tail -20 "$folder/debootstrap.log" >&2; exit 1; }
  touch "$folder/made"
}

# $1: what runs inside, as a shell script; the rest are its arguments. Own mounts, no network. Without /sys: it tells of
# this machine's processor, and onnxruntime, looking there for an aarch64 one, ends with a segmentation fault.
inside() {
  unshare --mount --net --propagation private bash -euo pipefail -c '
    root="$1" project="$2" wheels="$3" script="$4"; shift 4
    ip link set lo up 2>/dev/null || true
    mkdir -p "$root/project" "$root/wheels"
    mount --bind "$project" "$root/project"; mount -o remount,bind,ro "$root/project"
    mount --bind "$wheels" "$root/wheels"
    mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount -t tmpfs tmpfs "$root/tmp"
    exec chroot "$root" /usr/bin/env -i PATH=/opt/limosa/bin:/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 \
      PYTHONPYCACHEPREFIX=/tmp/compiled LIMOSA_TEST_PATIENCE=10 HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis bash -euo pipefail -c "$script" inside "$@"
  ' inside "$root" "$project" "$folder/wheels" "$@"
}

missing=()
need
register
make_root
say "a wheelhouse for aarch64"
PYTHON="$python" "$project/agent/wheelhouse.sh" "$folder/wheels" --machine aarch64 --python 3.11 \
  --extra onnx --extra pytest --extra pytest-timeout --extra pytest-xdist --extra hypothesis

say "installing from it, without a network"
inside '
  [ -e /opt/limosa/bin/pip ] || python3 -m venv /opt/limosa
  pip --disable-pip-version-check -q install --no-index --find-links /wheels --force-reinstall --no-deps /wheels/limosa-*.whl
  pip --disable-pip-version-check -q install --no-index --find-links /wheels "limosa[agent]" onnx pytest pytest-timeout \
    pytest-xdist hypothesis
  uname -m; limosa-agent --version
  python -c "import onnxruntime, numpy; print(\"onnxruntime\", onnxruntime.__version__, \"numpy\", numpy.__version__)"
'

say "the tests"
started=$SECONDS
[ $# -gt 0 ] || set -- "${core[@]}"
inside '
  cd /project
  exec python -m pytest -p no:cacheprovider -n "$(nproc)" --dist loadgroup --timeout 1800 "$@"
' "$@"
say "done in $((SECONDS - started)) s"
