package badgerstore

import (
	"errors"
	"sync"
	"syscall"
)

// faultyFS is the disk, with faults.
type faultyFS struct {
	osFS
	direct bool // it has direct files
	mu     sync.Mutex
	fault  func(op, path string) *fault
	open   map[string]*faultyFile // by present path
}

func (f *faultyFS) ask(op, path string) *fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil {
		return nil
	}
	return f.fault(op, path)
}

func (f *faultyFS) set(fn func(op, path string) *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fn
}

func (f *faultyFS) wrap(op, path string, open func(string) (file, error)) (file, error) {
	if err := f.ask(op, path).error(op, path); err != nil {
		return nil, err
	}
	inner, err := open(path)
	if err != nil {
		return nil, err
	}
	wrapped := &faultyFile{file: inner, fs: f, path: path}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = map[string]*faultyFile{}
	}
	f.open[path] = wrapped
	return wrapped, nil
}

func (f *faultyFS) Create(path string) (file, error) { return f.wrap(opCreate, path, f.osFS.Create) }

func (f *faultyFS) Open(path string) (file, error) { return f.wrap(opOpen, path, f.osFS.Open) }

func (f *faultyFS) OpenDirect(path string) (directFile, error) {
	if !f.direct {
		return nil, syscall.EINVAL
	}
	inner, err := f.osFS.OpenDirect(path)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &faultyDirectFile{faultyFile: f.open[path], inner: inner}, nil
}

func (f *faultyFS) Rename(from, to string) error {
	if err := f.ask(opRename, from).error(opRename, from); err != nil {
		return err
	}
	f.mu.Lock()
	if moved := f.open[from]; moved != nil {
		delete(f.open, from)
		f.open[to], moved.path = moved, to
	}
	f.mu.Unlock()
	return f.osFS.Rename(from, to)
}

func (f *faultyFS) Remove(path string) error {
	if err := f.ask(opRemove, path).error(opRemove, path); err != nil {
		return err
	}
	return f.osFS.Remove(path)
}

func (f *faultyFS) SyncDir(path string) error {
	if err := f.ask(opSyncDir, path).error(opSyncDir, path); err != nil {
		return err
	}
	return f.osFS.SyncDir(path)
}

type faultyFile struct {
	file
	fs   *faultyFS
	path string
}

// ask asks about the file under the name that it has now.
func (f *faultyFile) ask(op string) *fault {
	f.fs.mu.Lock()
	path := f.path
	f.fs.mu.Unlock()
	return f.fs.ask(op, path)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	bad := f.ask(opWrite)
	if bad == nil {
		return f.file.WriteAt(p, off)
	}
	n, err := f.file.WriteAt(p[:min(bad.short, len(p))], off)
	return n, errors.Join(bad.error(opWrite, f.path), err)
}

func (f *faultyFile) Sync() error {
	if err := f.ask(opSync).error(opSync, f.path); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Allocate(size int64) error {
	if err := f.ask(opAllocate).error(opAllocate, f.path); err != nil {
		return err
	}
	return f.file.Allocate(size)
}

type faultyDirectFile struct {
	*faultyFile
	inner directFile
}

func (f *faultyDirectFile) WriteDurable(b []byte, off int64) error {
	if bad := f.ask(opWrite); bad != nil {
		arrives := b[:min(bad.short&^(diskBlock-1), len(b))]
		if len(arrives) > 0 {
			if err := f.inner.WriteDurable(arrives, off); err != nil {
				return err
			}
		}
		return bad.error(opWrite, f.path)
	}
	return errors.Join(f.inner.WriteDurable(b, off), f.ask(opSync).error(opSync, f.path))
}

func (f *faultyDirectFile) Close() error { return f.inner.Close() }

var _ filesystem = (*faultyFS)(nil)
