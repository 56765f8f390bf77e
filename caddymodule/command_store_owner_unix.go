//go:build unix

package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// handOver gives what the superuser has made in a store's directory to the owner of another one: Caddy runs as a user of its own, and could not open it. For everybody
// else it does nothing. Where like does not exist, the directory that it would be in counts.
func handOver(dir, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	owner, err := ownerOf(like)
	if err != nil {
		return fmt.Errorf("whose store it is: %w", err)
	}
	if owner.Uid == 0 {
		return nil
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path == dir && errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was made
		}
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
	if err != nil {
		return fmt.Errorf("giving %s to its owner: %w", dir, err)
	}
	return nil
}

func ownerOf(path string) (*syscall.Stat_t, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for {
		info, err := os.Stat(path)
		if err == nil {
			return info.Sys().(*syscall.Stat_t), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		path = filepath.Dir(path)
	}
}
