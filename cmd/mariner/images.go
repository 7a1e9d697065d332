package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"mariner/internal/project"
)

func (a *app) image() *cobra.Command {
	c := &cobra.Command{Use: "image", Short: "Compose images"}
	build := &cobra.Command{
		Use:   "build config...",
		Short: "Build images from their configurations, and the packages that they need",
		Args:  cobra.MinimumNArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.Heal(func() error { return p.BuildImages(ctx, args) })
		}),
	}
	build.Flags().BoolVar(&a.options.NoCheck, "nocheck", false, "leave out %check")
	c.AddCommand(build)
	return c
}

func (a *app) run() *cobra.Command {
	o := project.RunOptions{}
	c := &cobra.Command{
		Use:   "run image",
		Short: "Boot an image in QEMU, with its console here and its ssh on a port of this machine",
		Args:  cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.Run(ctx, args[0], o)
		}),
	}
	f := c.Flags()
	f.IntVar(&o.Memory, "memory", 2048, "the machine's memory, `MiB`")
	f.IntVar(&o.CPUs, "cpus", 2, "the machine's processors")
	f.IntVar(&o.SSHPort, "ssh-port", 2222, "the local `port` that leads to the guest's ssh, 0 for none")
	f.StringVar(&o.User, "user", os.Getenv("USER"), "the account made in the guest")
	f.StringVar(&o.Key, "key", "", "the public ssh key `file` of that account (default the first of ~/.ssh/id_*.pub)")
	f.BoolVar(&o.Keep, "keep", false, "let the guest write to the image (default: what it writes is forgotten)")
	return c
}

func (a *app) check() *cobra.Command {
	o := project.CheckOptions{}
	c := &cobra.Command{
		Use:   "check image",
		Short: "Boot an image and check it from inside",
		Args:  cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, p *project.Project, args []string) error {
			return p.Check(ctx, os.Stdout, args[0], o)
		}),
	}
	c.Flags().StringVar(&o.Container, "container", "core-container", "the container image that is started inside")
	return c
}
