package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mariner/internal/fault"
	"mariner/internal/project"
	"mariner/internal/store"
)

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks, and the command that mends it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.begun = true
			return project.Doctor(c.Context(), os.Stdout)
		},
	}
}

func (a *app) cache() *cobra.Command {
	c := &cobra.Command{Use: "cache", Short: "Look after the store of sources and results"}
	var keep store.Policy
	gc := &cobra.Command{
		Use:   "gc",
		Short: "Remove what no newest result refers to, and roots of failed builds older than a day",
		Args:  cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, p *project.Project, _ []string) error {
			freed, err := p.Store.GC(ctx, keep)
			if err != nil {
				return err
			}
			fmt.Printf("removed %d results, %d files, %d trees, %d failed roots: %d MB; left: %d MB\n",
				freed.Results, freed.Files, freed.Trees, freed.Failed, freed.Freed>>20, freed.Left>>20)
			return nil
		}),
	}
	gc.Flags().DurationVar(&keep.MaxAge, "max-age", 0*time.Hour, "also remove newest results that were not used for so long")
	gc.Flags().Int64Var(&keep.MaxSize, "max-size", 0, "remove the longest unused until the store has at most so many `bytes`")
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Read everything in the store and check it",
		Args:  cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, p *project.Project, _ []string) error {
			report, err := p.Store.Verify(ctx, nil)
			if err != nil {
				return err
			}
			if err := report.Err(); err != nil {
				return fault.As(fault.Check, err)
			}
			fmt.Println("the store is as it should be")
			return nil
		}),
	}
	exp := &cobra.Command{
		Use:   "export file [package...]",
		Short: "Write the results of packages (all if none is named) to a file that import reads",
		Args:  cobra.MinimumNArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.ExportCache(ctx, args[0], args[1:])
		}),
	}
	imp := &cobra.Command{
		Use:   "import file",
		Short: "Take over results from a file that export wrote, each checked",
		Args:  cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return fault.As(fault.Usage, err)
			}
			defer f.Close()
			_, err = p.Store.Import(ctx, f)
			return err
		}),
	}
	c.AddCommand(gc, verify, exp, imp)
	return c
}

func (a *app) stage0() *cobra.Command {
	return &cobra.Command{
		Use:   "stage0",
		Short: "Make stage0, the root of build tools, if it is not there, and print its folder",
		Args:  cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, p *project.Project, _ []string) error {
			root, err := p.Roots.Root(ctx)
			if err != nil {
				return err
			}
			fmt.Println(root.Lower[len(root.Lower)-1])
			return nil
		}),
	}
}
