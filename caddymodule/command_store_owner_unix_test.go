//go:build unix

package caddymodule

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// TestStoreCommandsOfTheSuperuser: what it does to the store of the user whom Caddy runs as, that user can open afterwards.
func TestStoreCommandsOfTheSuperuser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files can be given away by the superuser only")
	}
	const caddyUser = 65534
	home := t.TempDir()
	dir, file := filepath.Join(home, "store"), filepath.Join(t.TempDir(), "backup")
	s, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	each := func(dir string, fn func(path string)) {
		t.Helper()
		if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { fn(path); return err }); err != nil {
			t.Fatal(err)
		}
	}
	each(home, func(path string) {
		if err := os.Lchown(path, caddyUser, caddyUser); err != nil {
			t.Fatal(err)
		}
	})
	for _, args := range [][]string{
		{"backup", file, "--dir", dir}, {"restore", file, "--to", filepath.Join(home, "restored")}, {"salvage", dir, "--to", filepath.Join(t.TempDir(), "salvaged")},
	} {
		if o := run(t, append([]string{"store"}, args...)...); o.code != 0 {
			t.Fatalf("%v: %+v", args, o)
		}
		made := args[len(args)-1]
		each(made, func(path string) {
			if owner, err := ownerOf(path); err != nil || owner.Uid != caddyUser || owner.Gid != caddyUser {
				t.Errorf("%v: %s belongs to %+v, %v", args, path, owner, err)
			}
		})
	}
	if err := os.WriteFile(file, []byte("no backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := run(t, "store", "restore", file, "--to", filepath.Join(home, "never made")); o.code != exitFailed || strings.Contains(strings.TrimSpace(o.stderr), "\n") {
		t.Errorf("%+v, want one error", o)
	}
}
