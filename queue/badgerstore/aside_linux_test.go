package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// openAside skips the test where asynchronous syncs are not to be had.
func openAside(t *testing.T) *asideSync {
	t.Helper()
	a, err := newAsideSync()
	if errors.Is(err, errAside) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAsideSync(t *testing.T) {
	a := openAside(t)
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := f.WriteString("some bytes"); err != nil {
			t.Fatal(err)
		}
		if err := a.sync(f.Fd()); err != nil {
			t.Fatal(err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// What cannot be synced is refused before or after it was submitted, as kernels like; it is never a success.
	if err := a.sync(w.Fd()); err == nil {
		t.Error("a pipe was synced")
	}
	fd := f.Fd()
	for _, f := range []*os.File{f, r, w} {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.sync(fd); !errors.Is(err, errAside) {
		t.Errorf("sync of a closed file: %v, want that nothing was submitted", err)
	}
}

// A kernel that does not take asynchronous syncs, or no longer, costs speed and nothing else.
func TestAsideSyncRefused(t *testing.T) {
	a := openAside(t)
	j := &journal{aside: a, log: zap.NewNop()}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, a.context, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	if err := j.sync(osFile{f}, true); err != nil {
		t.Fatal(err)
	}
	if j.aside != nil {
		t.Error("asynchronous syncs are asked for again")
	}
	if err := j.sync(osFile{f}, true); err != nil {
		t.Error(err)
	}
}
