package project

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mariner/internal/execute"
	"mariner/internal/fault"
	"mariner/internal/image"
	"mariner/internal/image/config"
	"mariner/internal/plan"
	"mariner/internal/release"
	"mariner/internal/store"
	"mariner/internal/ui"
)

// imageLogic is the version of how images are composed; part of the key of an image.
const imageLogic = "3"

// BuildImages builds images from their configurations: the packages that they need first, which are
// signed and published together with all that the tree has built for them.
func (p *Project) BuildImages(ctx context.Context, files []string) error {
	g, err := p.Graph(ctx)
	if err != nil {
		return err
	}
	var images []*config.Config
	var chosen []*plan.Node
	for _, f := range files {
		c, err := config.Load(f)
		if err != nil {
			return fault.As(fault.Usage, err)
		}
		want := slices.Concat(c.OS.Packages.Install, c.Initrd.Packages.Install)
		nodes, err := g.Providers(p.shipped, want)
		if err != nil {
			return fmt.Errorf("%s: its packages cannot be had:\n%w", f, err)
		}
		images, chosen = append(images, c), append(chosen, nodes...)
	}
	nodes := g.Closure(chosen...)
	b, err := p.BuildNodes(ctx, nodes)
	if err != nil {
		return err
	}
	if err := p.Publish(ctx, b, nodes); err != nil {
		return err
	}
	pub, err := p.Publisher(ctx)
	if err != nil {
		return err
	}
	pool, err := b.Packages(nodes)
	if err != nil {
		return err
	}
	for i, c := range images {
		if err := p.buildImage(ctx, pub, files[i], c, pool); err != nil {
			return err
		}
	}
	return nil
}

// buildImage composes one image, unless what stands in out/images was made of just the same.
func (p *Project) buildImage(ctx context.Context, pub *release.Publisher, file string, c *config.Config, pool []*execute.Package) error {
	started := time.Now()
	system, err := p.imagePackages(ctx, pub, pool, c.OS.Packages.Install)
	if err != nil {
		return fault.Errorf(fault.Image, "%s: %w", file, err)
	}
	initrd, err := p.imagePackages(ctx, pub, pool, c.Initrd.Packages.Install)
	if err != nil {
		return fault.Errorf(fault.Image, "%s: the initrd: %w", file, err)
	}
	inputs, err := p.imageInputs(pub, file, c, system, initrd)
	if err != nil {
		return err
	}
	key := store.Key(inputs)
	if image.Made(p.Out("images", c.Name), string(key)) {
		p.Sink.Emit(ui.Event{Type: ui.Cached, Kind: "image", Name: c.Name})
		return nil
	}
	expected := time.Duration(0)
	if last, err := p.Store.Last("image " + c.Name); err == nil && last != nil {
		expected = last.Duration
	}
	p.Sink.Emit(ui.Event{Type: ui.Start, Kind: "image", Name: c.Name, Expected: expected})
	if err := p.compose(ctx, pub, c, key, system, initrd); err != nil {
		p.Sink.Emit(ui.Event{Type: ui.Failed, Kind: "image", Name: c.Name, Message: err.Error()})
		return err
	}
	took := time.Since(started)
	p.Sink.Emit(ui.Event{Type: ui.Done, Kind: "image", Name: c.Name, Duration: took})
	return p.Store.PutResult(&store.Result{Action: "image " + c.Name, Key: key, Inputs: inputs, Started: started, Duration: took})
}

// imagePackages are the signed packages of a list and of all that it requires.
func (p *Project) imagePackages(ctx context.Context, pub *release.Publisher, pool []*execute.Package, want []string) ([]*release.Signed, error) {
	chosen, err := choose(p.arch, pool, nil, want)
	if err != nil {
		return nil, err
	}
	return pub.Sign(ctx, chosen)
}

// imageInputs are the digests of everything that an image is made of: its configuration and what that
// includes, the packages, the key, the tools.
func (p *Project) imageInputs(pub *release.Publisher, file string, c *config.Config, system, initrd []*release.Signed) ([]store.Input, error) {
	effective, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	inputs := []store.Input{
		{Name: "logic " + imageLogic},
		{Name: "config", Digest: store.DigestOf(effective)},
		{Name: "stage0", Digest: p.Roots.Stage0.ID()},
		{Name: "key " + pub.Signer.Fingerprint()},
	}
	for _, s := range system {
		inputs = append(inputs, store.Input{Name: "rpm " + s.File, Digest: s.Digest})
	}
	for _, s := range initrd {
		inputs = append(inputs, store.Input{Name: "initrd rpm " + s.File, Digest: s.Digest})
	}
	for _, f := range c.OS.AdditionalFiles {
		if f.Source == "" {
			continue
		}
		path := f.Source
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fault.As(fault.Usage, err)
		}
		inputs = append(inputs, store.Input{Name: "file " + f.Source, Digest: store.DigestOf(b)})
	}
	return inputs, nil
}

func (p *Project) compose(ctx context.Context, pub *release.Publisher, c *config.Config, key store.Digest, system, initrd []*release.Signed) error {
	root, err := p.Roots.Root(ctx)
	if err != nil {
		return err
	}
	work, err := p.Store.Temp("image-")
	if err != nil {
		return err
	}
	defer p.Runner.RemoveAll(context.WithoutCancel(ctx), work)
	paths := func(list []*release.Signed) ([]string, error) {
		var out []string
		for _, s := range list {
			path, err := p.Store.File(s.Digest)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.File, err)
			}
			out = append(out, path)
		}
		return out, nil
	}
	r := image.Request{
		Config: c, Keys: [][]byte{pub.Signer.PublicArmored()}, Arch: p.arch,
		Runner: p.Runner, Layers: root.Lower, Work: work, Out: p.Out("images"), Key: string(key),
		Step: func(n, of int, what string) {
			p.Sink.Emit(ui.Event{Type: ui.Progress, Kind: "image", Name: c.Name, Done: int64(n), Total: int64(of), Message: what})
		},
	}
	if r.Packages, err = paths(system); err != nil {
		return err
	}
	if r.Initrd, err = paths(initrd); err != nil {
		return err
	}
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(p.Out("logs"), 0o755); err != nil {
		return err
	}
	var log bytes.Buffer
	r.Log = &log
	_, err = image.Build(ctx, r)
	logFile := p.Out("logs", "image-"+c.Name+".log")
	if werr := os.WriteFile(logFile, log.Bytes(), 0o644); err == nil {
		err = werr
	} else if err != nil {
		err = fmt.Errorf("%w\nthe whole log: %s", err, logFile)
	}
	return err
}

// imageFile is the path of a built image's file: NAME, or NAME.FORMAT, or a path.
func (p *Project) imageFile(name string, formats ...string) (string, error) {
	if strings.Contains(name, "/") {
		return name, exists(name)()
	}
	stem, ext, found := strings.Cut(name, ".")
	if found {
		formats = []string{ext}
	}
	var tried []string
	for _, f := range formats {
		path := p.Out("images", stem, stem+"."+f)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		tried = append(tried, path)
	}
	return "", fault.Errorf(fault.Usage, "image %s is not there (looked for %s); build it: mariner image build images/%s.yaml", name, strings.Join(tried, ", "), stem)
}
