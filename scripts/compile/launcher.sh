#!/bin/sh
# HarmonyLite @VERSION@ for @TARGET@: this script and, behind it, a compressed archive of the program, the Deno runtime and
# nats-server. It unpacks them once, then starts the runtime, locked to what the configuration asks for, in its place.
set -eu
sum=@SHA256@
name=@NAME@

# Whether a folder belongs to this user and nobody else can write to it: what lies in it is run.
is_safe() {
  [ -d "$1" ] && [ ! -h "$1" ] && [ -O "$1" ] || return 1
  case $(LC_ALL=C ls -ld "$1") in d????-??-*) return 0 ;; *) return 1 ;; esac
}

# Unpacks into $1, which is safe. Each file is moved into place as a whole, and `.complete` is written last: two first starts
# at once write the same files over each other, and one that is killed leaves what the next one takes for nothing.
unpack() {
  new=$1/.new-$$
  trap 'rm -rf "$new"' EXIT
  trap 'exit 1' HUP INT TERM
  rm -rf "$new" && mkdir "$new" && tail -n +@LINE@ "$0" > "$new/archive" || return 1
  case $(sha256sum < "$new/archive") in
    "$sum "*) ;;
    *) echo "harmonylite: Cannot unpack $0: it is damaged" >&2; exit 1 ;;
  esac
  mkdir "$new/files" && gzip -dc < "$new/archive" > "$new/files.tar" && tar -xf "$new/files.tar" -C "$new/files" || return 1
  for file in "$new"/files/*; do mv -f "$file" "$1/" || return 1; done
  : > "$1/.complete"
  rm -rf "$new"
  trap - EXIT HUP INT TERM
}

# Finds or makes the folder of this program below $1. Fails where that cannot be done, or programs cannot be run.
use() {
  mkdir -p "$1" 2> /dev/null && is_safe "$1" || return 1
  dir=$1/$name
  mkdir "$dir" 2> /dev/null || is_safe "$dir" || return 1
  [ -e "$dir/.complete" ] || unpack "$dir" || [ -e "$dir/.complete" ] || return 1
  [ -x "$dir/harmonylite" ]
}

own_umask=$(umask)
umask 077
if [ -n "${HARMONYLITE_CACHE:-}" ]; then
  use "$HARMONYLITE_CACHE" || {
    echo "harmonylite: Cannot unpack to \"$HARMONYLITE_CACHE\", which HARMONYLITE_CACHE names" >&2
    echo "  It must belong to this user, be closed to the writing of others, have room, and let programs run." >&2
    exit 1
  }
else
  use "${CACHE_DIRECTORY:-/dev/null}/program" || use "${XDG_CACHE_HOME:-/dev/null}/harmonylite-program" ||
    use "${HOME:-/dev/null}/.cache/harmonylite-program" || use "${TMPDIR:-/tmp}/harmonylite-program-$(id -u)" || {
    echo "harmonylite: Cannot unpack: no folder of this user's was found that has room and lets programs run" >&2
    echo "  Name one in the environment variable HARMONYLITE_CACHE." >&2
    exit 1
  }
fi
umask "$own_umask"

export DENO_DIR="$dir/deno" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
# Large buffers go back to the system as soon as they are free: with a value of 20 MB that is 80 MB less.
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-524288}"
export NATS_SERVER="${NATS_SERVER:-$dir/nats-server}"
run="run --quiet --no-config --no-lock --no-remote --no-npm"
allowed=$(LOCKED_PROCESS=$$ "$dir/harmonylite" $run --allow-all "$dir/plan.js" "$@") || exit 1
eval "exec \"\$dir/harmonylite\" $run $allowed \"\$dir/entry.js\" \"\$@\""
