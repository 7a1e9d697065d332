package rpmmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"mariner/internal/fault"
)

// Fetch opens a file of a repository by its path below it, such as `repodata/repomd.xml`.
type Fetch func(ctx context.Context, name string) (io.ReadCloser, error)

// FromDir fetches from a directory.
func FromDir(dir string) Fetch {
	return func(_ context.Context, name string) (io.ReadCloser, error) {
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, fault.Errorf(fault.Source, "opening a file of the repository: %w", err)
		}
		return f, nil
	}
}

// FromURL fetches by HTTP from below base. A nil client is http.DefaultClient.
func FromURL(client *http.Client, base string) Fetch {
	if client == nil {
		client = http.DefaultClient
	}
	return func(ctx context.Context, name string) (io.ReadCloser, error) {
		address, err := url.JoinPath(base, strings.Split(name, "/")...)
		if err != nil {
			return nil, fault.Errorf(fault.Usage, "the address of the repository: %w", err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, fault.Errorf(fault.Usage, "the address of the repository: %w", err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, fault.Errorf(fault.Source, "fetching: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			return nil, fault.As(fault.Source, fmt.Errorf("fetching %s: expected status 200, found %s", address, resp.Status))
		}
		return resp.Body, nil
	}
}
