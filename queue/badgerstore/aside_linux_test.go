package badgerstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// openAside skips the test where asynchronous syncs are not to be had.
func openAside(t *testing.T) *aside {
	t.Helper()
	a, err := newAside()
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

// A kernel that does not take asynchronous I/O, or no longer, costs speed and nothing else.
func TestAsideRefused(t *testing.T) {
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
	j.cur = &segment{file: osFile{f}}
	if err := j.write([]byte("some bytes"), true); err != nil {
		t.Fatal(err)
	}
	if j.aside != nil {
		t.Error("asynchronous I/O is asked for again")
	}
	if err := j.write([]byte("some bytes"), true); err != nil {
		t.Error(err)
	}
}

// TestDirectWrites writes blocks to a file that was filled before, in both ways, and reads them through the cache.
func TestDirectWrites(t *testing.T) {
	a := openAside(t)
	defer func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 8*diskBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := osFS{}.OpenDirect(path)
	if err != nil {
		t.Skip("no direct writes here: ", err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	j := &journal{}
	want := make([]byte, 8*diskBlock)
	for i, size := range []int{1, 2, 3} {
		b := j.buffer(size * diskBlock)[:size*diskBlock]
		for at := range b {
			b[at] = byte(at>>8) + byte(i)
		}
		off := int64(i*(i+1)/2) * diskBlock
		copy(want[off:], b)
		if i%2 == 0 {
			err = f.WriteDurable(b, off)
		} else {
			err = a.write(f.(osDirectFile).Fd(), b, off)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what was written is not there, or something else is: %v", err)
	}
	if err := f.WriteDurable(j.buffer(diskBlock)[1:diskBlock], 0); !errors.Is(err, unix.EINVAL) {
		t.Skipf("blocks in part: %v: this file system does not write past its cache", err)
	}
	if err := a.write(f.(osDirectFile).Fd(), j.buffer(diskBlock)[1:diskBlock], 0); err == nil {
		t.Error("a block was written in part")
	}
}
