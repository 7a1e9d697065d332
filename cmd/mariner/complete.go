package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mariner/internal/distro"
)

// complete makes commands complete their arguments in a shell: names of packages or images, as the usage line says.
func (a *app) complete(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.complete(sub)
	}
	_, arguments, _ := strings.Cut(c.Use, " ")
	var names func(*distro.Tree) []string
	switch {
	case strings.Contains(arguments, "package"):
		names = packageNames
	case arguments == "image":
		names = imageNames
	default:
		return
	}
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		dir, err := distro.Find(a.options.Dir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		tree, err := distro.Load(dir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names(tree), cobra.ShellCompDirectiveNoFileComp
	}
}

// packageNames are the source packages of a tree.
func packageNames(t *distro.Tree) (out []string) {
	found, err := t.Packages()
	if err != nil {
		return nil
	}
	for _, p := range found {
		out = append(out, p.Name)
	}
	return out
}

// imageNames are the images that were built.
func imageNames(t *distro.Tree) (out []string) {
	found, err := filepath.Glob(filepath.Join(t.Out(), "images", "[^.]*"))
	if err != nil {
		return nil
	}
	for _, f := range found {
		out = append(out, filepath.Base(f))
	}
	return out
}
