package badgerstore

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestEncryptionAtRest looks for what was stored in every file of an encrypted store: as it works, as a crash leaves it, and closed.
func TestEncryptionAtRest(t *testing.T) {
	m := newMixed(t, []byte("0123456789abcdef"))
	const marker = "plain-text-of-a-customer"
	for range 2 {
		m.fill()
		ev := m.event()
		ev.Body = []byte(strings.Repeat(marker, 100))
		small := m.event()
		small.Body, small.Subject = []byte(marker), marker
		if _, err := m.s.Enqueue(t.Context(), []queue.NewEvent{ev, small}); err != nil {
			t.Fatal(err)
		}
		if err := m.s.PutMeta(t.Context(), "note", []byte(marker)); err != nil {
			t.Fatal(err)
		}
	}
	secrets := []string{marker, "evt_1", "order.paid", "xxxxxxxxxxxxxxxx", "https://h/x", string(m.o.EncryptionKey)}
	if n := findIn(t, m.dir, secrets); n < 8 {
		t.Errorf("only %d files were looked at", n)
	}
	findIn(t, image(t, m.dir), secrets)
	m.close()
	findIn(t, m.dir, secrets)

	plain := newMixed(t, nil) // the search finds what is there
	plain.enqueue(30)
	found := false
	eachFile(t, plain.dir, func(_ string, b []byte) { found = found || bytes.Contains(b, []byte("order.paid")) })
	if !found {
		t.Error("nothing is found in a store that is not encrypted")
	}
}

// findIn expects none of the texts in the files of a directory, and returns how many files there are.
func findIn(t testing.TB, dir string, texts []string) (files int) {
	t.Helper()
	eachFile(t, dir, func(path string, b []byte) {
		files++
		for _, text := range texts {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%s shows %q", path, text)
			}
		}
	})
	return files
}

func eachFile(t testing.TB, dir string, fn func(path string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil {
			fn(path, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
