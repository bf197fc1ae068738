#!/usr/bin/env bash
# Creates build/parity-venv with all of requirements.txt (torch for CPUs), or completes it. Prints its python.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=${CLIPSPAN_PARITY_VENV:-$root/build/parity-venv}
log=$root/build/parity-setup.log

# The same modules that run.py needs; torchvision imports once two operators that it asks for are defined.
complete() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" - "$here/requirements.txt" <<'PY' >/dev/null 2>&1
import importlib.metadata as metadata, sys
for line in open(sys.argv[1]):
    line = line.split('#')[0].strip()
    if line:
        name, _, version = line.partition('==')
        found = metadata.version(name)
        assert not version or found.split('+')[0] == version, (name, found)
PY
}

pinned() { # the requirement's line of each package named
    for name in "$@"; do grep -E "^$name(==|$)" "$here/requirements.txt"; done
}

if ! complete; then
    mkdir -p "$root/build"
    echo "parity: installing torch, open_clip and transformers into $venv (log: $log)" >&2
    {
        [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
        pip="$venv/bin/python -m pip install --disable-pip-version-check"
        # CLIPSPAN_TORCH_INDEX: where CPU-only wheels are, if the default index has the large ones.
        $pip ${CLIPSPAN_TORCH_INDEX:+--index-url "$CLIPSPAN_TORCH_INDEX"} "$(pinned torch)"
        $pip --no-deps $(pinned torchvision open_clip_torch timm)
        $pip $(grep -vE "^(#|torch==|torchvision==|open_clip_torch==|timm==)" "$here/requirements.txt")
    } >"$log" 2>&1 || { tail -20 "$log" >&2; echo "parity: the installation failed" >&2; exit 1; }
    complete || { echo "parity: $venv is still incomplete, see $log" >&2; exit 1; }
fi
echo "$venv/bin/python"
