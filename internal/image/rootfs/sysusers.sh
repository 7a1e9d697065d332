#!/bin/bash
# Makes the users and groups that packages declare (sysusers.d(5)) for rpm, which calls it with
# "--root DIR FILE..." or "--root DIR -" before it unpacks their files. It needs no program of the
# tree and gives the same ids on every run: a free one is the first one down from 999.
set -euo pipefail
root=
files=()
while (($#)); do
  case $1 in
    --root) root=$2; shift ;;
    --replace) shift ;;
    *) files+=("$1") ;;
  esac
  shift
done
etc=$root/etc
mkdir -p "$etc"
touch -a "$etc/passwd" "$etc/group"
for f in shadow gshadow; do
  [ -e "$etc/$f" ] || install -m 0000 /dev/null "$etc/$f"
done

has() { grep -q "^$2:" "$etc/$1"; }
id_of() { sed -n "s/^$2:[^:]*:\([0-9]*\):.*/\1/p" "$etc/$1" | head -n 1; }
taken() { cut -d: -f3 "$etc/passwd" "$etc/group" | grep -qx "$1"; }
free() {
  local id
  for ((id = 999; id > 99; id--)); do
    taken "$id" || { echo "$id"; return; }
  done
  echo "no system id is free" >&2
  return 1
}

group() { # NAME ID
  has group "$1" && return
  local id=$2
  case $id in - | '' | /*) id=$(free) ;; esac
  echo "$1:x:$id:" >>"$etc/group"
  echo "$1:!*::" >>"$etc/gshadow"
}

user() { # NAME ID DESCRIPTION HOME SHELL
  has passwd "$1" && return
  local id=$2 gid shell=$5
  case $id in
    *:*)
      gid=${id#*:} id=${id%%:*}
      [[ $gid =~ ^[0-9]+$ ]] || gid=$(id_of group "$gid")
      ;;
    *)
      group "$1" "$id"
      gid=$(id_of group "$1")
      ;;
  esac
  case $id in
    - | '' | /*) if taken "$gid" && ! cut -d: -f3 "$etc/passwd" | grep -qx "$gid"; then id=$gid; else id=$(free); fi ;;
  esac
  case $shell in - | '') if [ "$id" = 0 ]; then shell=/bin/sh; else shell=/usr/sbin/nologin; fi ;; esac
  local home=$4 text=$3
  case $home in - | '') home=/ ;; esac
  case $text in -) text= ;; esac
  echo "$1:x:$id:$gid:$text:$home:$shell" >>"$etc/passwd"
  # The day of the last change is left out: it would be the day of the build.
  echo "$1:!*:::::::" >>"$etc/shadow"
}

member() { # USER GROUP
  user "$1" - - - -
  group "$2" -
  for f in group gshadow; do
    awk -F: -v OFS=: -v g="$2" -v u="$1" '
      $1 == g { n = split($4, m, ","); for (i = 1; i <= n; i++) if (m[i] == u) found = 1
                if (!found) $4 = $4 == "" ? u : $4 "," u }
      { print }' "$etc/$f" >"$etc/.$f.new"
    cat "$etc/.$f.new" >"$etc/$f"
    rm "$etc/.$f.new"
  done
}

fields() { # LINE: its words, with quotes, into the array word
  word=()
  local rest=$1
  while [[ $rest =~ ^[[:space:]]*(\"([^\"]*)\"|\'([^\']*)\'|([^[:space:]]+))(.*)$ ]]; do
    if [ -n "${BASH_REMATCH[4]}" ]; then word+=("${BASH_REMATCH[4]}"); else word+=("${BASH_REMATCH[2]}${BASH_REMATCH[3]}"); fi
    rest=${BASH_REMATCH[5]}
  done
}

# Groups first: a user may name one that another line makes.
input=$(cat "${files[@]:--}" | tr -d '\r')
for pass in g u m; do
  while IFS= read -r line; do
    case $line in '' | '#'* | ';'*) continue ;; esac
    fields "$line"
    ((${#word[@]} > 1)) || continue
    name=${word[1]} id=${word[2]:--}
    [[ $name =~ ^[a-zA-Z_][a-zA-Z0-9_.-]*$ ]] || { echo "sysusers: $name is no name" >&2; exit 1; }
    case $pass${word[0]} in
      gg) group "$name" "$id" ;;
      uu | 'uu!') user "$name" "$id" "${word[3]:--}" "${word[4]:--}" "${word[5]:--}" ;;
      mm) member "$name" "$id" ;;
    esac
  done <<<"$input"
done
