// Package vm runs an image in QEMU, as a person at its console or a test would meet it: UEFI
// firmware, virtio devices, user-mode network, systemd credentials.
//
// It changes no image unless told to, and it does not know what is in one; the checks that run
// inside a guest are in package guest.
package vm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mariner/internal/fault"
)

// Disk is a disk of the guest.
type Disk struct {
	Path string
	// Format is raw, qcow2…; empty: what the file's name ends in.
	Format string
	// Serial names it inside: /dev/disk/by-id/virtio-SERIAL. At most 20 characters.
	Serial   string
	ReadOnly bool
}

// Channel is a byte stream between guest and host: a virtio serial port, in the guest the device
// whose /sys/class/virtio-ports/*/name is Name.
type Channel struct {
	Name string
	// Socket is the host's end for QEMU; the caller holds the other one of the pair.
	Socket *os.File
}

// Options are a machine.
type Options struct {
	Disk Disk
	// Memory in bytes; default 2 GiB. CPUs default to those of this machine, at most 4.
	Memory int64
	CPUs   int
	// Stdin and Console are the serial console. With a terminal for both, Ctrl-A X leaves.
	Stdin   io.Reader
	Console io.Writer
	// Interactive multiplexes QEMU's monitor onto the console and leaves Ctrl-C to the guest.
	Interactive bool
	// ForwardSSH is the port on this machine's loopback that leads to the guest's port 22; 0 is none.
	ForwardSSH int
	// Credentials are handed to systemd by SMBIOS (systemd.system-credentials(7)).
	Credentials map[string][]byte
	ExtraDisks  []Disk
	Channels    []Channel
	// Firmware is found if it is zero.
	Firmware Firmware
	// Accelerator is "kvm", "tcg" or empty: KVM if a guest runs with it.
	Accelerator string
	// Cache is a folder where the answer to that is kept until the next boot; empty: it is not kept.
	Cache string
	// Slow, if set, is told why the guest has to do without KVM.
	Slow func(why string)
	// Temp is a folder for what the machine writes, changes to Disk too; os.TempDir() if empty.
	Temp string
	// Write lets the guest change Disk; otherwise changes are lost at the end.
	Write bool
	// NoReboot ends the machine when the guest restarts.
	NoReboot bool
}

// Run runs the machine until it is switched off, and cleans up. When ctx ends the machine is
// stopped and the error is ctx's.
func Run(ctx context.Context, o Options) error {
	work, err := os.MkdirTemp(o.Temp, "mariner-vm-")
	if err != nil {
		return fault.Errorf(fault.Environment, "making a folder for a machine: %w", err)
	}
	defer os.RemoveAll(work)
	if o.Firmware == (Firmware{}) {
		if o.Firmware, err = FindFirmware(); err != nil {
			return err
		}
	}
	qemu, err := FindQEMU()
	if err != nil {
		return err
	}
	if o.Accelerator == "" {
		a := Accelerator(ctx, qemu, o.Firmware, o.Cache)
		if o.Accelerator = a.Name; a.Why != "" && o.Slow != nil {
			o.Slow(a.Why)
		}
	}
	args, err := o.args(work)
	if err != nil {
		return err
	}
	var files []*os.File
	for _, c := range o.Channels {
		files = append(files, c.Socket)
	}
	return start(ctx, qemu, args, work, o, files)
}

// start runs QEMU. The kernel stops it when this process is killed; that needs the thread to live
// as long as QEMU does.
func start(ctx context.Context, qemu string, args []string, work string, o Options, files []*os.File) error {
	cmd := exec.CommandContext(ctx, qemu, args...)
	said := &tail{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Stdin, o.Console, said
	cmd.Env = append(os.Environ(), "TMPDIR="+work)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		result <- cmd.Run()
	}()
	err := <-result
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fault.Errorf(fault.Environment, "running %s: %w\n%s", filepath.Base(qemu), err, said.text())
	}
	return nil
}

// args are QEMU's. Files that it needs are made in work.
func (o Options) args(work string) ([]string, error) {
	memory, cpus := o.Memory, o.CPUs
	if memory == 0 {
		memory = 2 << 30
	}
	if cpus == 0 {
		cpus = min(runtime.NumCPU(), 4)
	}
	vars := filepath.Join(work, "vars.fd")
	if err := copyFile(o.Firmware.Vars, vars); err != nil {
		return nil, fault.Errorf(fault.Environment, "copying the firmware's variables: %w", err)
	}
	serial := "stdio,id=console,signal=off"
	if o.Interactive {
		serial += ",mux=on"
	}
	args := slices.Concat(accelArgs(o.Accelerator), []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
		"-m", strconv.FormatInt(memory>>20, 10), "-smp", strconv.Itoa(cpus),
		"-drive", "if=pflash,format=raw,readonly=on,file=" + comma(o.Firmware.Code),
		"-drive", "if=pflash,format=raw,file=" + comma(vars),
		"-chardev", serial, "-serial", "chardev:console",
		"-device", "virtio-rng-pci",
	})
	if o.Interactive {
		args = append(args, "-mon", "chardev=console,mode=readline")
	}
	if o.NoReboot {
		args = append(args, "-no-reboot")
	}
	network := "user,id=net"
	if o.ForwardSSH != 0 {
		network += ",hostfwd=tcp:127.0.0.1:" + strconv.Itoa(o.ForwardSSH) + "-:22"
	}
	args = append(args, "-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=")
	for i, d := range append([]Disk{o.Disk}, o.ExtraDisks...) {
		a, err := d.args(i, i == 0 && !o.Write)
		if err != nil {
			return nil, err
		}
		args = append(args, a...)
	}
	if len(o.Channels) > 0 {
		args = append(args, "-device", "virtio-serial-pci")
	}
	for i, c := range o.Channels {
		id := "channel" + strconv.Itoa(i)
		args = append(args, "-chardev", "socket,id="+id+",fd="+strconv.Itoa(3+i), // ExtraFiles begin at 3
			"-device", "virtserialport,chardev="+id+",name="+c.Name)
	}
	creds, err := credentialArgs(o.Credentials, work)
	return append(args, creds...), err
}

func (d Disk) args(n int, snapshot bool) ([]string, error) {
	if st, err := os.Stat(d.Path); err != nil {
		return nil, fault.Errorf(fault.Usage, "a disk of the machine: %w", err)
	} else if st.IsDir() {
		return nil, fault.Errorf(fault.Usage, "%s is a folder, expected a disk image", d.Path)
	}
	format := d.Format
	if format == "" {
		format = "raw"
		if ext := strings.TrimPrefix(filepath.Ext(d.Path), "."); slices.Contains([]string{"qcow2", "vmdk", "vhdx"}, ext) {
			format = ext
		}
	}
	id := "disk" + strconv.Itoa(n)
	drive := "if=none,id=" + id + ",format=" + format + ",cache=unsafe,discard=unmap,file=" + comma(d.Path)
	if snapshot {
		drive += ",snapshot=on"
	}
	if d.ReadOnly {
		drive += ",readonly=on"
	}
	device := "virtio-blk-pci,drive=" + id + ",bootindex=" + strconv.Itoa(n)
	if d.Serial != "" {
		device += ",serial=" + comma(d.Serial)
	}
	return []string{"-drive", drive, "-device", device}, nil
}

// credentialArgs hands credentials over in files: a command line can be seen by everybody.
func credentialArgs(creds map[string][]byte, work string) ([]string, error) {
	var args []string
	for i, name := range slices.Sorted(maps.Keys(creds)) {
		path := filepath.Join(work, "credential-"+strconv.Itoa(i))
		text := "io.systemd.credential.binary:" + name + "=" + base64.StdEncoding.EncodeToString(creds[name])
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "-smbios", "type=11,path="+comma(path))
	}
	return args, nil
}

// comma writes a value as QEMU's option syntax wants it.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// tail keeps the end of what QEMU says of itself.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 8192 {
		t.buf = slices.Clone(t.buf[len(t.buf)-4096:])
	}
	return len(p), nil
}

func (t *tail) text() string { return strings.TrimSpace(string(t.buf)) }

// User are the credentials that make a user with a home, a login shell and public keys for ssh, at
// the first boot and every other one.
func User(name string, keys []byte) map[string][]byte {
	home := "/home/" + name
	return map[string][]byte{
		"sysusers.extra": fmt.Appendf(nil, "u %s 1000 \"%s\" %s /bin/bash\nm %s wheel\n", name, name, home, name),
		"tmpfiles.extra": fmt.Appendf(nil, "d %s 0700 %s %s -\nd %s/.ssh 0700 %s %s -\nf~ %s/.ssh/authorized_keys 0600 %s %s - %s\n",
			home, name, name, home, name, name, home, name, name, base64.StdEncoding.EncodeToString(keys)),
	}
}
