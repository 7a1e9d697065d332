# Unpacks stage0 from standard input into $1/base and moves the files of each further argument's
# Debian packages into $1/hidden/0, $1/hidden/1, …. Runs in a user namespace, on the host's files.
tree=$1
shift
mkdir -m 0755 "$tree/base" "$tree/hidden"
tar -C "$tree/base" --numeric-owner -xpf - --exclude='./dev/*'

n=0
for packages in "$@"; do
	layer=$tree/hidden/$n
	n=$((n + 1))
	mkdir -m 0755 "$layer"
	for p in $packages; do
		list=$tree/base/var/lib/dpkg/info/$p.list
		[ -e "$list" ] || list=$tree/base/var/lib/dpkg/info/$p:amd64.list
		[ -e "$list" ] || { echo "$p: named under stage0.hidden, but not installed in stage0" >&2; exit 1; }
		while read -r f; do
			if [ -d "$tree/base$f" ] && [ ! -L "$tree/base$f" ]; then continue; fi
			if [ -e "$tree/base$f" ] || [ -L "$tree/base$f" ]; then
				mkdir -p "$layer${f%/*}"
				mv "$tree/base$f" "$layer$f"
			fi
		done <"$list"
	done
done
find "$tree/base/usr/include" -depth -type d -empty -delete

cd "$tree/base"
# The user that builds, the same everywhere.
grep -q '^build:' etc/passwd || echo 'build:x:1000:1000::/build:/bin/bash' >>etc/passwd
grep -q '^build:' etc/group || echo 'build:x:1000:' >>etc/group
printf '127.0.0.1 localhost mariner\n::1 localhost\n' >etc/hosts
echo mariner >etc/hostname
rm -f etc/resolv.conf
# Programs of stage0 run with stage0's libraries; what is missing there is found among ours.
echo /usr/lib64 >etc/ld.so.conf.d/zz-mariner.conf
# The compiler looks for its start files in Debian's folder: it finds ours there.
for c in crt1 crti crtn Scrt1 gcrt1 grcrt1 rcrt1 Mcrt1; do
	ln -sf "../../lib64/$c.o" "usr/lib/x86_64-linux-gnu/$c.o"
done
mkdir -p etc/rpm usr/lib/rpm/mariner build mariner
chown 1000:1000 build
