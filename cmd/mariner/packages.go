package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mariner/internal/plan"
	"mariner/internal/project"
)

func (a *app) build() *cobra.Command {
	c := &cobra.Command{
		Use:   "build [package...]",
		Short: "Build packages (all of the tree if none is named), sign them, publish out/repo",
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.Heal(func() error {
				b, nodes, err := p.Build(ctx, args...)
				if err != nil {
					return err
				}
				return p.Publish(ctx, b, nodes)
			})
		}),
	}
	c.Flags().BoolVar(&a.options.NoCheck, "nocheck", false, "leave out %check")
	return c
}

func (a *app) pkg() *cobra.Command {
	c := &cobra.Command{Use: "package", Short: "Work on single packages"}
	build := &cobra.Command{
		Use:   "build package...",
		Short: "Build packages and what they need",
		Args:  cobra.MinimumNArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.Heal(func() error {
				b, nodes, err := p.Build(ctx, args...)
				if err != nil {
					return err
				}
				return p.PrintBuilt(ctx, os.Stdout, b, nodes, args)
			})
		}),
	}
	build.Flags().BoolVar(&a.options.NoCheck, "nocheck", false, "leave out %check")
	shell := &cobra.Command{
		Use:   "shell package",
		Short: "A shell in a package's build root: the one of its last failure, or a fresh one",
		Args:  cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.Shell(ctx, args[0])
		}),
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the packages of the tree",
		Args:  cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			specs, err := p.Specs(ctx)
			if err != nil {
				return err
			}
			for _, s := range specs {
				fmt.Printf("%-24s %-24s %s\n", s.Name, s.Source.EVR(), s.Source.Summary)
			}
			return nil
		}),
	}
	c.AddCommand(build, shell, list)
	return c
}

func (a *app) graph() *cobra.Command {
	var dot, svg bool
	c := &cobra.Command{
		Use:   "graph [package...]",
		Short: "Show what must be built before what",
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			nodes, err := p.Select(ctx, args)
			switch {
			case err != nil:
				return err
			case dot:
				return plan.Dot(os.Stdout, nodes)
			case svg:
				return plan.SVG(os.Stdout, nodes)
			}
			for _, n := range nodes {
				fmt.Print(n.Name())
				for i, m := range n.Needs {
					if i == 0 {
						fmt.Print(":")
					}
					fmt.Print(" ", m.Name())
				}
				fmt.Println()
			}
			return nil
		}),
	}
	c.Flags().BoolVar(&dot, "dot", false, "in the DOT language of Graphviz")
	c.Flags().BoolVar(&svg, "svg", false, "as a drawing")
	c.MarkFlagsMutuallyExclusive("dot", "svg")
	return c
}

func (a *app) why() *cobra.Command {
	return &cobra.Command{
		Use:   "why package",
		Short: "What needs a package, and which of its inputs changed since it was last built",
		Args:  cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.Why(ctx, os.Stdout, args[0])
		}),
	}
}

func (a *app) source() *cobra.Command {
	c := &cobra.Command{Use: "source", Short: "Work on the sources that specs name"}
	c.AddCommand(&cobra.Command{
		Use:   "update package...",
		Short: "Fetch the sources of packages and write their digests to the signatures files",
		Args:  cobra.MinimumNArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.UpdateSources(ctx, args)
		}),
	}, &cobra.Command{
		Use:   "fetch [package...]",
		Short: "Fetch sources into the store, so that a later build needs no network",
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.FetchSources(ctx, args)
		}),
	})
	return c
}
