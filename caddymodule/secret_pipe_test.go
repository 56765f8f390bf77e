//go:build unix

package caddymodule

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecretPipe: a pipe in place of a secret's file holds nothing up, and gives what was written to it.
func TestSecretPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	before := secretStreamWait
	secretStreamWait = 50 * time.Millisecond
	t.Cleanup(func() { secretStreamWait = before })
	read := func() (*secretSource, error) {
		t.Helper()
		type result struct {
			s   *secretSource
			err error
		}
		done := make(chan result, 1)
		go func() {
			s, err := newSecretSource("Bearer {file." + path + "}")
			done <- result{s, err}
		}()
		select {
		case r := <-done:
			return r.s, r.err
		case <-time.After(20 * time.Second):
			t.Fatal("the pipe holds up the configuration")
			return nil, nil
		}
	}
	if _, err := read(); !errors.Is(err, errSecretPipe) || !strings.Contains(err.Error(), "{file."+path+"}") {
		t.Errorf("nobody writes: %v", err)
	}
	// the reader keeps what was written when the writer has gone
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a writer that says nothing: %v", err)
	}
	_, err = writer.WriteString("s3cret\n")
	if err := errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := read()
	if err != nil || string(s.value) != "Bearer s3cret" {
		t.Fatalf("%v, %v", s, err)
	}
	set := &secretSet{sources: []*secretSource{s}}
	set.rebuild()
	if live := set.get(time.Now()); string(live[0].Bytes()) != "Bearer s3cret" || s.broken != nil {
		t.Errorf("looked at again, though it can be read once only: %v", s.broken)
	}
}
