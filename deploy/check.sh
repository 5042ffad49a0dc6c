#!/usr/bin/env bash
# Builds the image with buildah, starts it as the Dockerfile says, and uses it: health, page, one picture. Run as root, in a clone:
# `deploy/check.sh`. With --stand-in, base images are an empty image with this machine's /usr (python3, node, npm), for machines that
# reach no image registry; the size that it prints is then that of what the Dockerfile adds. BUILDAH_OPTIONS are added to
# `buildah build` and `buildah run`, such as "--volume /etc/pip.conf:/etc/pip.conf:ro".
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra options <<< "${BUILDAH_OPTIONS:-} --isolation chroot"
build=()
image=edgesr-check
if [ "${1:-}" = --stand-in ]; then
  base=$(buildah from scratch)
  root=$(buildah mount "$base")
  mkdir -p "$root"/{usr,tmp,proc,dev,sys,etc/ssl,etc/alternatives,root,opt,var/tmp}
  chmod 1777 "$root"/tmp "$root"/var/tmp
  for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
  printf 'root:x:0:0::/root:/bin/sh\n' > "$root/etc/passwd"
  buildah umount "$base" > /dev/null
  buildah commit --quiet "$base" edgesr-stand-in > /dev/null
  buildah rm "$base" > /dev/null
  for folder in /usr /etc/ssl /etc/alternatives; do options+=(--volume "$folder:$folder:ro"); done
  build+=(--pull-never --build-arg NODE=localhost/edgesr-stand-in --build-arg PYTHON=localhost/edgesr-stand-in)
fi
buildah build --format docker --layers "${options[@]}" "${build[@]}" --tag "$image" .
buildah images --format '{{.Name}} {{.Size}}' "$image"

container=$(buildah from --pull-never "$image")
server=
finish() {
  [ -z "$server" ] || { kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; }
  buildah rm "$container" > /dev/null
}
trap finish EXIT
config() { buildah inspect --type image --format "{{range .Docker.Config.$1}}{{println .}}{{end}}" "$image" | sed '/^$/d'; }
mapfile -t command < <(config Entrypoint; config Cmd)
mapfile -t health < <(config Healthcheck.Test | tail -n +2) # the first word is CMD
buildah run "${options[@]}" "$container" -- "${command[@]}" &
server=$!
for _ in $(seq 120); do
  sleep 1
  if buildah run "${options[@]}" "$container" -- "${health[@]}" 2> /dev/null; then healthy=1; break; fi
  kill -0 "$server" 2> /dev/null || break
done
[ "${healthy:-}" ] || { echo "the health check never passed" >&2; exit 1; }
echo "healthy"
user=$(buildah run "${options[@]}" "$container" -- python3 -c 'import os; print(os.getuid())')
[ "$user" != 0 ] || { echo "runs as root" >&2; exit 1; }
python3 - <<'PYTHON'
from urllib.request import Request, urlopen

server = "http://127.0.0.1:7860"
page = urlopen(f"{server}/").read()
assert b"<title>" in page, "no page"
picture = open("examples/cat.jpg", "rb").read()
answer = urlopen(Request(f"{server}/v1/upscale", picture, {"Content-Type": "image/jpeg"}), timeout=120)
print("page: yes; picture:", answer.headers["X-Width"], "x", answer.headers["X-Height"])
PYTHON
echo "user $user: passed"
