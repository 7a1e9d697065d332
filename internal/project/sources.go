package project

import (
	"context"
	"path/filepath"

	"mariner/internal/source"
	"mariner/internal/spec"
	"mariner/internal/store"
)

// sources has the fetcher get what specs name.
type sources struct{ p *Project }

func refs(s *spec.Spec) []source.Ref {
	s.LocateSources()
	var out []source.Ref
	for _, src := range s.Sources {
		out = append(out, source.Ref{Package: s.Name, SpecFile: s.File, URL: src.URL, File: src.File(), Line: src.Line})
	}
	return out
}

// Expected implements execute.Sources.
func (f *sources) Expected(s *spec.Spec) (map[string]string, error) {
	sigs, err := source.ReadSignatures(source.SignaturesFile(s.Dir))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, src := range s.Sources {
		// What has no entry lies in the spec's folder, or is refused when it is fetched.
		if sum, ok := sigs.Of(src.File()); ok {
			out[src.File()] = sum.Algorithm + ":" + sum.Hex
		}
	}
	return out, nil
}

// Fetch implements execute.Sources.
func (f *sources) Fetch(ctx context.Context, s *spec.Spec) (map[string]store.Digest, error) {
	return f.p.fetchSources(ctx, s)
}

func (p *Project) fetchSources(ctx context.Context, s *spec.Spec) (map[string]store.Digest, error) {
	sigs, err := source.ReadSignatures(source.SignaturesFile(s.Dir))
	if err != nil {
		return nil, err
	}
	return p.fetcher.Fetch(ctx, s.Dir, sigs, refs(s))
}

// UpdateSources writes the signatures file of each named package.
func (p *Project) UpdateSources(ctx context.Context, names []string) error {
	specs, err := p.Specs(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		s, err := findSpec(specs, name)
		if err != nil {
			return err
		}
		if err := p.fetcher.Update(ctx, filepath.Clean(s.Dir), refs(s)); err != nil {
			return err
		}
	}
	return nil
}
