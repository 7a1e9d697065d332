package project

import (
	"context"
	"io"

	"mariner/internal/fault"
)

// RunOptions say what machine an image boots in.
type RunOptions struct {
	Memory, CPUs, SSHPort int // MiB, processors, local port (0 for none)
	User, Key             string
	Keep                  bool
}

// CheckOptions say what an image is checked with.
type CheckOptions struct {
	Container string // name of the container image that is started inside
}

// Run boots an image.
func (p *Project) Run(ctx context.Context, name string, o RunOptions) error {
	return fault.Errorf(fault.Environment, "not wired yet")
}

// Check boots an image and checks it from inside.
func (p *Project) Check(ctx context.Context, w io.Writer, name string, o CheckOptions) error {
	return fault.Errorf(fault.Environment, "not wired yet")
}
