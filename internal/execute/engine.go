package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"mariner/internal/buildroot"
	"mariner/internal/fault"
	"mariner/internal/plan"
	"mariner/internal/sandbox"
	"mariner/internal/store"
	"mariner/internal/ui"
)

// Action is the build of one package, in digests alone: any machine that has the files can do it.
type Action struct {
	Package  string                  // source package
	SpecFile string                  // its file's name among Files
	Files    map[string]store.Digest // what lies beside the spec file in SOURCES, sources included
	Placed   []Placed                // files of the tree that every build root gets
	Root     []plan.RPM              // the packages in the build root
	Hidden   []string                // stage0's capabilities that it asks for
	Arch     string
	Check    bool
}

// Placed is a file that a build root gets at a fixed path.
type Placed struct {
	Path   string
	Digest store.Digest
	Mode   fs.FileMode
}

// Engine builds packages.
type Engine interface {
	// Build builds a package and gives its RPMs, source RPM and log ("build.log") as files in the
	// store. Failed builds give an error that carries the end of the log and no outputs.
	Build(ctx context.Context, a Action) (*Built, error)
}

// Built is what came of an action.
type Built struct {
	Outputs    []store.Output
	Started    time.Time
	Duration   time.Duration // of all: setting up the root included
	Setup      time.Duration // of setting up the root
	PeakMemory int64         // bytes, of the largest process
}

// Local is the engine of this machine.
type Local struct {
	Store  *store.Store
	Roots  *buildroot.Roots
	Runner *sandbox.Namespaces
	Cores  *JobServer
	LogDir string // NAME.log of the last build of each package stands here, also while it runs
	Failed string // the roots of failed builds are kept here, one a package
}

// logName is the output that holds the build's log.
const logName = "build.log"

// Build implements Engine: a linear story, in which nothing outside of a temporary folder and the
// store is written until the package is built.
func (l *Local) Build(ctx context.Context, a Action) (*Built, error) {
	started := time.Now()
	work, err := l.Store.Temp("build-")
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() {
		if !keep {
			// What cannot be removed now is swept at the next start.
			l.Runner.RemoveAll(context.WithoutCancel(ctx), work)
		}
	}()

	// 1. the root
	root, binds, err := l.prepare(ctx, a, work)
	if err != nil {
		return nil, err
	}
	setup := time.Since(started)

	// 2. rpmbuild, in two steps: a source package's digest would else be in the headers of the
	// binary packages, and a changed comment would rebuild the world.
	log, err := l.openLog(a.Package)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	out, flush := ui.Tee(log, l.Roots.Sink, "build", a.Package)
	use, err := l.Runner.Run(ctx, sandbox.Command{
		Args: []string{"sh", "-euc", buildScript, "sh", a.SpecFile, a.Arch, checkFlag(a.Check)},
		Env:  l.env(), Root: root, Binds: binds, Dir: "/build", Stdout: out, Stderr: out,
	})
	flush()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var exit *sandbox.ExitError
		if !errors.As(err, &exit) {
			return nil, fmt.Errorf("building %s: %w", a.Package, err)
		}
		keep = l.keep(ctx, a.Package, work) == nil
		return nil, fault.Errorf(fault.Build, "building %s: rpmbuild ended with status %d; the end of %s:\n%s\nfor a shell in that root: mariner package shell %s",
			a.Package, exit.Code, log.Name(), lastLines(log.Name(), 25), a.Package)
	}

	// 3. what came out
	built := &Built{Started: started, Setup: setup, PeakMemory: use.MaxRSS}
	if err := l.collect(built, filepath.Join(root.Upper, "build"), log.Name()); err != nil {
		return nil, fmt.Errorf("building %s: %w", a.Package, err)
	}
	built.Duration = time.Since(started)
	// The root of an earlier failure has no more to tell.
	return built, l.Runner.RemoveAll(ctx, filepath.Join(l.Failed, a.Package))
}

// buildScript runs as root of the namespace and becomes the build user. $1: spec, $2: architecture, $3: --nocheck or nothing.
const buildScript = `
ldconfig
chown 1000:1000 /build /build/SOURCES
exec setpriv --reuid=1000 --regid=1000 --clear-groups --bounding-set=-all sh -euc '
rpmbuild -bb --nodeps $3 --target "$2" --define "_topdir /build" "/build/SOURCES/$1"
rpmbuild -bs --nodeps --target "$2" --define "_topdir /build" "/build/SOURCES/$1"
' sh "$@"
`

func checkFlag(check bool) string {
	if check {
		return ""
	}
	return "--nocheck"
}

const jobPipe = "/run/jobserver"

func (l *Local) env() []string {
	return []string{
		"PATH=/usr/bin:/usr/sbin", "HOME=/build", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC", "TMPDIR=/tmp",
		"MAKEFLAGS=" + l.Cores.MakeFlags(jobPipe),
		"LIBRARY_PATH=/usr/lib64",
		"PKG_CONFIG_PATH=/usr/lib64/pkgconfig:/usr/share/pkgconfig",
		"PKG_CONFIG_SYSTEM_LIBRARY_PATH=/usr/lib64:/usr/lib",
	}
}

// prepare makes the root of a build in work: stage0, the layer of our RPMs, an empty layer on top,
// the sources and the placed files.
func (l *Local) prepare(ctx context.Context, a Action, work string) (sandbox.Root, []sandbox.Bind, error) {
	root, err := l.Roots.Root(ctx, a.Hidden...)
	if err != nil {
		return root, nil, err
	}
	if len(a.Root) > 0 {
		layer := filepath.Join(work, "rpms")
		if err := os.Mkdir(layer, 0o755); err != nil {
			return root, nil, err
		}
		var packages []buildroot.Package
		for _, p := range a.Root {
			path, err := l.Store.File(p.Digest)
			if err != nil {
				return root, nil, fmt.Errorf("package %s of the build root: %w", p.Name, err)
			}
			packages = append(packages, buildroot.Package{Name: p.Name, Path: path})
		}
		if err := l.Roots.Install(ctx, packages, layer); err != nil {
			return root, nil, err
		}
		root = buildroot.Over(root, layer)
	}
	if root, err = buildroot.Scratch(root, work); err != nil {
		return root, nil, err
	}
	binds := []sandbox.Bind{{Source: l.Cores.Path(), Target: jobPipe}}
	files := filepath.Join(work, "files")
	n := 0
	place := func(d store.Digest, mode fs.FileMode) (string, error) {
		n++
		p := filepath.Join(files, fmt.Sprint(n))
		return p, l.copy(d, p, mode)
	}
	if err := os.Mkdir(files, 0o755); err != nil {
		return root, nil, err
	}
	for _, f := range a.Placed {
		p, err := place(f.Digest, f.Mode)
		if err != nil {
			return root, nil, err
		}
		binds = append(binds, sandbox.Bind{Source: p, Target: f.Path, ReadOnly: true})
	}
	for _, name := range sortedKeys(a.Files) {
		p, err := place(a.Files[name], 0o644)
		if err != nil {
			return root, nil, err
		}
		binds = append(binds, sandbox.Bind{Source: p, Target: "/build/SOURCES/" + name, ReadOnly: true})
	}
	return root, binds, nil
}

// epoch is the time of every file that a build is given: file times are no input.
var epoch = time.Unix(0, 0)

func (l *Local) copy(d store.Digest, to string, mode fs.FileMode) error {
	from, err := l.Store.File(d)
	if err != nil {
		return err
	}
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err := errors.Join(err, w.Chmod(mode), w.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, epoch, epoch)
}

func (l *Local) openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(l.LogDir, 0o755); err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(l.LogDir, name+".log"))
}

// collect puts the packages and the log into the store.
func (l *Local) collect(b *Built, topdir, log string) error {
	var files []string
	for _, pattern := range []string{"RPMS/*/*.rpm", "SRPMS/*.rpm"} {
		m, err := filepath.Glob(filepath.Join(topdir, pattern))
		if err != nil {
			return err
		}
		files = append(files, m...)
	}
	if len(files) == 0 {
		return fault.Errorf(fault.Build, "rpmbuild made no package")
	}
	sort.Strings(files)
	for _, f := range append(files, log) {
		d, size, err := l.Store.PutFile(f)
		if err != nil {
			return err
		}
		name := filepath.Base(f)
		if f == log {
			name = logName
		}
		b.Outputs = append(b.Outputs, store.Output{Name: name, Digest: d, Size: size})
	}
	return nil
}

// keep moves the root of a failed build to where `mariner package shell` finds it.
func (l *Local) keep(ctx context.Context, name, work string) error {
	if err := os.MkdirAll(l.Failed, 0o755); err != nil {
		return err
	}
	to := filepath.Join(l.Failed, name)
	if err := l.Runner.RemoveAll(ctx, to); err != nil {
		return err
	}
	return os.Rename(work, to)
}

// lastLines are the last n lines of a file, indented.
func lastLines(file string, n int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "(the log cannot be read: " + err.Error() + ")"
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "    " + strings.Join(lines, "\n    ")
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// Shell runs an interactive shell in the root of a: with what a failed build left in the folder
// failed, or fresh if that is "". Its binds and environment are those of the build.
func (l *Local) Shell(ctx context.Context, a Action, failed string) error {
	work, err := l.Store.Temp("shell-")
	if err != nil {
		return err
	}
	defer l.Runner.RemoveAll(context.WithoutCancel(ctx), work)
	root, binds, err := l.prepare(ctx, a, work)
	if err != nil {
		return err
	}
	if failed != "" {
		// `mariner cache gc` leaves young ones alone.
		now := time.Now()
		if err := os.Chtimes(failed, now, now); err != nil {
			return err
		}
		root.Upper, root.Work = filepath.Join(failed, "upper"), filepath.Join(failed, "work")
	}
	env := append(l.env(), "TERM="+os.Getenv("TERM"), `PS1=[`+a.Package+` \w]\$ `)
	_, err = l.Runner.Run(ctx, sandbox.Command{
		Args: []string{"sh", "-euc", shellScript}, Env: env, Root: root, Binds: binds, Dir: "/build",
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	var exit *sandbox.ExitError
	if errors.As(err, &exit) {
		return nil // the shell's own last status
	}
	return err
}

const shellScript = `
ldconfig
chown 1000:1000 /build /build/SOURCES
echo "Sources are in /build/SOURCES; rpmbuild -bb --nodeps --define '_topdir /build' /build/SOURCES/*.spec builds; exit leaves."
exec setpriv --reuid=1000 --regid=1000 --clear-groups --bounding-set=-all bash --norc -i
`
