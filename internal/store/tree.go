package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Tree is the path of the directory tree that MakeTree has made under key. Its contents are not
// verified: it must not be written to, and what is secret to no one may still be changed by its owner.
func (s *Store) Tree(key string) (path string, ok bool) {
	folder := s.treeFolder(key)
	if _, err := s.touch(folder); err != nil {
		return "", false
	}
	return filepath.Join(folder, "root"), true
}

// MakeTree is the path of the tree under key. If there is none, it calls fill with an empty folder
// (mode 0755) and takes what fill has made of it. Only one process at a time makes the tree of a key:
// others wait, until ctx ends, and use it. If fill fails nothing stays behind.
func (s *Store) MakeTree(ctx context.Context, key string, fill func(tmp string) error) (path string, err error) {
	if path, ok := s.Tree(key); ok {
		return path, nil
	}
	unlock, err := s.Lock(ctx, "tree "+key)
	if err != nil {
		return "", fmt.Errorf("making the tree %s: %w", key, err)
	}
	defer unlock()
	if path, ok := s.Tree(key); ok {
		return path, nil
	}
	// A folder around the tree is renamed, as renaming needs write permission on the folder itself,
	// which the tree's own root may refuse (mode 0555).
	around, err := s.Temp("tree-")
	if err != nil {
		return "", fmt.Errorf("making the tree %s: %w", key, err)
	}
	root := filepath.Join(around, "root")
	if err = os.Mkdir(root, 0o755); err == nil {
		err = fill(root)
	}
	if err == nil {
		err = s.settled(func() error { return s.place(around, s.treeFolder(key)) })
	}
	if err != nil {
		if rmErr := s.remove(around); !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
		return "", fmt.Errorf("making the tree %s: %w", key, err)
	}
	return filepath.Join(s.treeFolder(key), "root"), nil
}

func (s *Store) treeFolder(key string) string { return filepath.Join(s.dir, "trees", fileName(key)) }
