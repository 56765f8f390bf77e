package badgerstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// shrinkingDisk has less room the more was asked for it, as if each look came after so many bytes were written.
func shrinkingDisk(free *int64, step int64) func(string) (int64, int64, error) {
	return func(string) (int64, int64, error) {
		*free -= step
		return *free + step, 1 << 40, nil
	}
}

// filled is a store with many large events, closed.
func filled(t *testing.T) *mixed {
	t.Helper()
	m := newMixed(t, nil)
	enqueue(t, m.s, "e", 400, 20<<10)
	return m
}

// stopsInTime expects that a store was not finished for want of room.
func stopsInTime(t *testing.T, err error, dir string, o Options, parts ...string) {
	t.Helper()
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("%v", err)
	}
	for _, part := range append(parts, "15 MiB have to stay free", outIncomplete) {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: want %q", err, part)
		}
	}
	if _, statErr := os.Stat(filepath.Join(dir, incompleteName)); statErr != nil {
		t.Errorf("it is not marked: %v", statErr)
	}
	o.diskSpace = nil
	if _, openErr := Open(dir, o); !errors.Is(openErr, queue.ErrDamaged) {
		t.Errorf("it opens: %v", openErr)
	}
}

func TestRestoreStopsBeforeTheDiskIsFull(t *testing.T) {
	m := filled(t)
	path := filepath.Join(t.TempDir(), "backup")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := m.s.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o, free := m.o, int64(20<<20)
	o.diskSpace = shrinkingDisk(&free, 1<<20)
	for name, test := range map[string]struct {
		pipe  bool
		parts []string
	}{"a file": {false, []string{" of the backup are restored; about ", " MiB are missing"}}, "a pipe": {true, []string{"nobody knows how much is still to come"}}} {
		t.Run(name, func(t *testing.T) {
			free = 20 << 20
			dir := filepath.Join(t.TempDir(), "new")
			if test.pipe {
				_, err = Restore(t.Context(), bytes.NewReader(content), nil, dir, o)
			} else {
				if _, err = file.Seek(0, 0); err == nil {
					_, err = Restore(t.Context(), file, nil, dir, o)
				}
			}
			stopsInTime(t, err, dir, m.o, test.parts...)
		})
	}
	t.Run("more than there is", func(t *testing.T) {
		free = int64(len(content)) - 1
		dir := filepath.Join(t.TempDir(), "not", "there", "yet")
		o.diskSpace = func(dir string) (int64, int64, error) {
			if _, err := os.Stat(dir); err != nil {
				return 0, 0, err
			}
			return free, 1 << 40, nil
		}
		if _, err := file.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		_, err := Restore(t.Context(), file, nil, dir, o)
		if _, statErr := os.Stat(filepath.Dir(dir)); !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), "and the backup has 7 MiB") || statErr == nil {
			t.Errorf("%v, %v", err, statErr)
		}
		free = 1 << 40
		if _, err := file.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), file, nil, dir, o); err != nil {
			t.Errorf("with room: %v", err)
		}
	})
}

func TestSalvageStopsBeforeTheDiskIsFull(t *testing.T) {
	m := filled(t)
	m.close()
	free := int64(20 << 20)
	o := m.o
	o.diskSpace = shrinkingDisk(&free, 1<<20)
	dir := filepath.Join(t.TempDir(), "new")
	_, err := Salvage(t.Context(), m.dir, dir, nil, o)
	stopsInTime(t, err, dir, m.o, " events are carried; about ", " MiB are missing")
	o.diskSpace = nil
	if r, err := Salvage(t.Context(), m.dir, filepath.Join(t.TempDir(), "roomy"), nil, o); err != nil || r.Events != 400 {
		t.Errorf("with room: %+v %v", r, err)
	}
}
