# tree_to_tar DIRECTORY [OPTION…] writes a directory as a tar archive (pax) that depends on nothing
# but names, owners, modes, times, contents, capabilities and other attributes: sorted, ids as
# numbers, without the labels that the host puts on files.
tree_to_tar() {
  local from=$1
  shift
  tar --create --directory "$from" --one-file-system --sort=name --numeric-owner --format=posix \
    --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
    --xattrs --xattrs-include='*' --xattrs-exclude='security.selinux' --xattrs-exclude='security.ima' \
    --xattrs-exclude='security.evm' --xattrs-exclude='*.overlay.*' --anchored "$@" .
}
