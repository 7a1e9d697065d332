package project

import (
	"context"
	"os"
	"path/filepath"

	"mariner/internal/execute"
	"mariner/internal/fault"
)

// Shell starts an interactive shell as the build user: in the root of the package's last failed
// build if there is one, else in a fresh root with its BuildRequires and sources.
func (p *Project) Shell(ctx context.Context, name string) error {
	g, err := p.Graph(ctx)
	if err != nil {
		return err
	}
	n, err := p.find(g, name)
	if err != nil {
		return err
	}
	b, err := p.BuildNodes(ctx, g.Ancestors(n))
	if err != nil {
		return err
	}
	engine, ok := b.Engine.(*execute.Local)
	if !ok {
		return fault.Errorf(fault.Usage, "a shell needs builds on this machine")
	}
	a, err := b.Action(ctx, n)
	if err != nil {
		return err
	}
	failed := filepath.Join(engine.Failed, n.Name())
	if _, err := os.Stat(failed); err != nil {
		failed = ""
	}
	return engine.Shell(ctx, a, failed)
}
