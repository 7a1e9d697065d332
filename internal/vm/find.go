package vm

import (
	"os"
	"os/exec"

	"mariner/internal/fault"
)

// Firmware is UEFI for a guest: code, and a store of variables that every machine has its own copy of.
type Firmware struct{ Code, Vars string }

// FindQEMU finds the emulator of x86-64 machines.
func FindQEMU() (string, error) {
	for _, name := range []string{"qemu-system-x86_64", "/usr/libexec/qemu-kvm", "qemu-kvm"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", fault.Errorf(fault.Environment, "qemu-system-x86_64 is missing; install it: sudo apt-get install qemu-system-x86")
}

// FindFirmware finds OVMF where distributions put it.
func FindFirmware() (Firmware, error) {
	for _, f := range []Firmware{
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},           // Debian, Ubuntu
		{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},                 // older ones
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},       // Fedora, RHEL
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},   // Arch
		{"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"}, // SUSE
		{"/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"},     // QEMU's own
	} {
		if readable(f.Code) && readable(f.Vars) {
			return f, nil
		}
	}
	return Firmware{}, fault.Errorf(fault.Environment, "UEFI firmware for virtual machines (OVMF) is missing; install it: sudo apt-get install ovmf")
}

func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
