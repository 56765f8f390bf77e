package badgerstore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// TestWrongEncryptionKey says what is wrong, and only that, and leaves the store as it was.
func TestWrongEncryptionKey(t *testing.T) {
	dir := t.TempDir()
	o := badgerstore.Options{Logger: zaptest.NewLogger(t), EncryptionKey: bytes.Repeat([]byte{1}, 32)}
	open := func() error {
		s, err := badgerstore.Open(dir, o)
		if err != nil {
			return err
		}
		return s.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{bytes.Repeat([]byte{2}, 32), nil} {
		o.EncryptionKey = key
		err := open()
		if err == nil || !strings.Contains(err.Error(), "encryption key") {
			t.Errorf("with another key of %d bytes: %v", len(key), err)
		} else if strings.Contains(err.Error(), "panicked") {
			t.Errorf("more than what is wrong: %v", err)
		}
	}
	o.EncryptionKey = bytes.Repeat([]byte{1}, 32)
	if err := open(); err != nil {
		t.Error(err)
	}
}

// TestMissingDataKeys takes the file of the data keys away. The store is not opened, with and without the key, and not changed.
func TestMissingDataKeys(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{true, false} { // nothing in tables yet, and everything
		dir := t.TempDir()
		o := badgerstore.Options{Logger: zaptest.NewLogger(t), EncryptionKey: bytes.Repeat([]byte{1}, 32), Ballast: -1}
		s, err := badgerstore.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutMeta(t.Context(), "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
		image := filepath.Join(t.TempDir(), "image")
		if killed {
			err = os.CopyFS(image, os.DirFS(dir))
		}
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if !killed {
			image = dir
		}
		registry := filepath.Join(image, "db", "KEYREGISTRY")
		if err := os.Rename(registry, registry+".away"); err != nil {
			t.Fatal(err)
		}
		for _, key := range [][]byte{nil, o.EncryptionKey} {
			with := o
			with.EncryptionKey = key
			_, err := badgerstore.Open(image, with)
			if !errors.Is(err, queue.ErrDamaged) || !strings.Contains(err.Error(), registry+" is missing") {
				t.Errorf("killed %t, key of %d bytes: %v", killed, len(key), err)
			}
			if _, err := os.Stat(registry); err == nil {
				t.Error("there is a new one in its place")
			}
		}
		if err := os.Rename(registry+".away", registry); err != nil {
			t.Fatal(err)
		}
		if s, err = badgerstore.Open(image, o); err != nil {
			t.Fatal(err)
		}
		if value, err := s.Meta(t.Context(), "k"); err != nil || string(value) != "v" {
			t.Errorf("%q, %v", value, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
