#!/usr/bin/env bash
# Fills a folder with every wheel that `limosa[agent]` needs, for a device that has no network:
#
#   agent/wheelhouse.sh OUT [--machine x86_64|aarch64] [--python 3.11] [--extra REQUIREMENT]...
#
# On the device:  python3 -m venv /opt/limosa && /opt/limosa/bin/pip install --no-index --find-links OUT "limosa[agent]"
# Without --machine and --python the wheels are for this machine and this Python. PYTHON names the Python that runs pip.
set -euo pipefail

python="${PYTHON:-python3}"
here="$(cd "$(dirname "$0")/.." && pwd)"
out="" machine="" version="" more=()
while [ $# -gt 0 ]; do
  case "$1" in
    --machine) machine="$2"; shift 2 ;;
    --python) version="$2"; shift 2 ;;
    --extra) more+=("$2"); shift 2 ;;
    -*) echo "unknown option $1; see the first lines of $0" >&2; exit 2 ;;
    *) out="$1"; shift ;;
  esac
done
[ -n "$out" ] || { echo "usage: $0 OUT [--machine M] [--python V] [--extra R]..." >&2; exit 2; }
mkdir -p "$out"

pip=("$python" -m pip --disable-pip-version-check -q)
target=()
if [ -n "$machine$version" ]; then
  machine="${machine:-$(uname -m)}"
  version="${version:-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}"
  # Newest first; a glibc of 2.28 is Debian 10's. pip takes the first of these tags that a project offers.
  for glibc in 2_28 2_27 2_26 2_24 2_17; do target+=(--platform "manylinux_${glibc}_${machine}"); done
  target+=(--platform "manylinux2014_${machine}" --python-version "$version" --implementation cp)
fi

rm -f "$out"/limosa-*.whl
"${pip[@]}" wheel --no-deps -w "$out" "$here"
made="$(echo "$out"/limosa-*.whl)"
# The pins are what the tests ran with; a wheel of another version may not be there for another machine.
"${pip[@]}" download --only-binary :all: -c "$here/constraints.txt" "${target[@]}" -d "$out" --find-links "$out" \
  "limosa[agent] @ file://$(cd "$out" && pwd)/$(basename "$made")" "${more[@]}"
# Two builds of Limosa in one folder would leave the choice to pip.
echo "$(find "$out" -name '*.whl' | wc -l) wheels, $(du -sh "$out" | cut -f1), in $out"
