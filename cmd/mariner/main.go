// Command mariner builds a Linux distribution from a tree of specs: packages, a signed repository,
// images. This package holds flags, wiring and exit codes; what is done stands in internal/project.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"mariner/internal/fault"
	"mariner/internal/project"
	"mariner/internal/sandbox"
	"mariner/internal/ui"
)

func main() {
	sandbox.Init()
	// Whatever the user's is: folders become roots of other users, and repositories are read by all.
	// What is private says so itself.
	syscall.Umask(0o022)
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	a := &app{}
	root := a.root()
	err := root.ExecuteContext(ctx)
	if a.closeUI != nil {
		a.closeUI()
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "mariner: interrupted; what was finished is kept, the same command goes on from there")
		return 130
	}
	if !a.begun { // cobra's own errors have no kind: an unknown command, a wrong number of arguments
		err = fault.As(fault.Usage, err)
	}
	fmt.Fprintf(os.Stderr, "mariner: %v\n", err)
	return int(fault.KindOf(err))
}

// app is what all commands share.
type app struct {
	options  project.Options
	progress string
	verbose  bool
	begun    bool // the command line was right
	closeUI  func()
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mariner",
		Short: "Builds your own Linux: packages, a signed repository, images",
		Long: `mariner builds a Linux distribution from a tree of RPM specs: each package in a root of its own,
without root rights and without a network; a signed repository; container and machine images.

Exit codes: 0 done, 1 an error of no kind below, 2 usage or a wrong file of the tree, 3 a source,
4 a package did not build, 5 an image, 6 this machine lacks something, 7 a check failed, 130 interrupted.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.Errorf(fault.Usage, "%w\nsee: %s --help", err, c.CommandPath())
	})
	f := root.PersistentFlags()
	f.StringVar(&a.options.Dir, "distro", ".", "the distribution's `dir`ectory, or one below it")
	f.StringVar(&a.options.Store, "store", "", "the store's `dir`ectory (default $MARINER_STORE, or mariner in the cache folder)")
	f.StringArrayVar(&a.options.Caches, "cache-from", filepath.SplitList(os.Getenv("MARINER_CACHE_FROM")), "a further, read-only store (`dir`); may be repeated")
	f.BoolVar(&a.options.Offline, "offline", false, "fetch nothing")
	f.IntVarP(&a.options.Jobs, "jobs", "j", 0, "cores to use (default all)")
	f.StringVar(&a.progress, "progress", "auto", "how progress is shown: auto, tty, plain, json, quiet")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "show more")
	root.RegisterFlagCompletionFunc("progress", cobra.FixedCompletions([]string{"auto", "tty", "plain", "json", "quiet"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(
		a.build(), a.pkg(), a.image(), a.run(), a.check(), a.graph(), a.why(), a.source(), a.cache(), a.doctor(), a.stage0(),
	)
	a.complete(root)
	return root
}

// with opens the tree, does something with it and closes it.
func (a *app) with(do func(ctx context.Context, p *project.Project, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) (err error) {
		a.begun = true
		sink, closeUI, err := ui.New(os.Stderr, a.progress, a.verbose)
		if err != nil {
			return fault.As(fault.Usage, err)
		}
		a.closeUI, a.options.Sink = closeUI, sink
		p, err := project.Open(c.Context(), a.options)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		return do(c.Context(), p, args)
	}
}
