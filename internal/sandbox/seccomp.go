package sandbox

import (
	"fmt"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// denied are system calls that no build and no image needs and that reach beyond the namespaces:
// the kernel's keys, modules, clocks, tracing, swapping (compare seccomp(2) and the defaults of
// container engines).
var denied = []string{
	"acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "delete_module", "finit_module",
	"init_module", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl",
	"lookup_dcookie", "nfsservctl", "open_by_handle_at", "perf_event_open", "quotactl", "reboot",
	"request_key", "settimeofday", "swapoff", "swapon", "userfaultfd", "io_uring_setup",
}

// restrict takes from this process and all that it starts the right to gain privileges and the
// system calls above.
func restrict(filter bool) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if !filter {
		return nil
	}
	f := seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, Names: denied}},
		},
	}
	if err := seccomp.LoadFilter(f); err != nil {
		return fmt.Errorf("loading the seccomp filter: %w", err)
	}
	return nil
}
