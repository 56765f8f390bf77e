package badgerstore

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"unsafe"
)

// memFS is a file system in memory that knows what a sync has covered, and whose calls can be made to fail.
type memFS struct {
	mu     sync.Mutex
	files  map[string]*memFile // by path, as a process sees it
	synced map[string]*memFile // by path, as a power cut leaves it
	direct bool                // it has direct files

	// fault, if set, is asked before each call and returns an error for it. A write of n bytes of which some are to arrive all the same is a short one.
	fault func(op, path string) *fault
}

// fault is how a call fails.
type fault struct {
	err   error
	short int // bytes of a write that arrive before it fails
}

// What faults are asked about.
const (
	opCreate   = "create"
	opOpen     = "open"
	opRename   = "rename"
	opRemove   = "remove"
	opSyncDir  = "syncdir"
	opWrite    = "write"
	opDirect   = "direct write"
	opSync     = "sync"
	opAllocate = "allocate"
)

func newMemFS(direct bool) *memFS {
	return &memFS{files: map[string]*memFile{}, synced: map[string]*memFile{}, direct: direct}
}

func (m *memFS) ask(op, path string) *fault {
	if m.fault == nil {
		return nil
	}
	return m.fault(op, path)
}

func (f *fault) error(op, path string) error {
	if f == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: f.err}
}

// setFault makes calls fail from now on.
func (m *memFS) setFault(fn func(op, path string) *fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fn
}

// memFile is the content of a file: what was written, and which of its blocks a sync has not covered yet.
type memFile struct {
	fs    *memFS
	path  string
	data  []byte
	safe  []byte
	dirty map[int]bool
}

const memBlock = 512

func (m *memFS) Create(path string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(opCreate, path).error(opCreate, path); err != nil {
		return nil, err
	}
	if m.files[path] != nil {
		return nil, &fs.PathError{Op: opCreate, Path: path, Err: fs.ErrExist}
	}
	f := &memFile{fs: m, path: path, dirty: map[int]bool{}}
	m.files[path] = f
	return f, nil
}

func (m *memFS) Open(path string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(opOpen, path).error(opOpen, path); err != nil {
		return nil, err
	}
	if f := m.files[path]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: opOpen, Path: path, Err: fs.ErrNotExist}
}

func (m *memFS) OpenDirect(path string) (directFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.direct {
		return nil, &fs.PathError{Op: opOpen, Path: path, Err: syscall.EINVAL}
	}
	return memDirectFile{m.files[path]}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(opRename, from).error(opRename, from); err != nil {
		return err
	}
	f := m.files[from]
	if f == nil {
		return &fs.PathError{Op: opRename, Path: from, Err: fs.ErrNotExist}
	}
	delete(m.files, from)
	m.files[to] = f
	f.path = to
	return nil
}

func (m *memFS) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(opRemove, path).error(opRemove, path); err != nil {
		return err
	}
	if m.files[path] == nil {
		return &fs.PathError{Op: opRemove, Path: path, Err: fs.ErrNotExist}
	}
	delete(m.files, path)
	return nil
}

func (m *memFS) SyncDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(opSyncDir, path).error(opSyncDir, path); err != nil {
		return err
	}
	m.synced = maps.Clone(m.files)
	return nil
}

func (m *memFS) List(dir, pattern string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []string
	for path := range m.files {
		if ok, err := filepath.Match(filepath.Join(dir, pattern), path); err != nil {
			return nil, err
		} else if ok {
			found = append(found, path)
		}
	}
	slices.Sort(found)
	return found, nil
}

// cut returns what a power cut leaves: names as of the last sync of the directory or as of now, and of what no sync has covered a part.
func (m *memFS) cut(random *rand.Rand, survives float64) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.synced
	if random.Float64() < survives {
		names = m.files
	}
	after := newMemFS(m.direct)
	for path, f := range names {
		data := slices.Clone(f.data)
		for block := range f.dirty {
			if random.Float64() >= survives {
				from, to := block*memBlock, min((block+1)*memBlock, len(data))
				clear(data[from:to])
				if from < len(f.safe) {
					copy(data[from:to], f.safe[from:])
				}
			}
		}
		after.files[path] = &memFile{fs: after, path: path, data: data, safe: slices.Clone(data), dirty: map[int]bool{}}
	}
	after.synced = maps.Clone(after.files)
	return after
}

// copy returns an independent file system with the same contents, as a process that is killed leaves it.
func (m *memFS) copy() *memFS { return m.cut(rand.New(rand.NewPCG(1, 1)), 1) }

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.write(p, off)
}

// write is WriteAt for who holds the lock.
func (f *memFile) write(p []byte, off int64) (int, error) {
	bad := f.fs.ask(opWrite, f.path)
	if bad != nil {
		p = p[:min(bad.short, len(p))]
	}
	if need := int(off) + len(p); need > len(f.data) {
		f.data = append(f.data, make([]byte, need-len(f.data))...)
	}
	copy(f.data[off:], p)
	for at := int(off) / memBlock; at*memBlock < int(off)+len(p); at++ {
		f.dirty[at] = true
	}
	return len(p), bad.error(opWrite, f.path)
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.sync()
}

// sync is Sync for who holds the lock.
func (f *memFile) sync() error {
	if err := f.fs.ask(opSync, f.path).error(opSync, f.path); err != nil {
		return err
	}
	if len(f.safe) < len(f.data) {
		f.safe = append(f.safe, make([]byte, len(f.data)-len(f.safe))...)
	}
	for block := range f.dirty {
		from := block * memBlock
		copy(f.safe[from:], f.data[from:min(from+memBlock, len(f.data))])
	}
	clear(f.dirty)
	return nil
}

func (f *memFile) Allocate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.ask(opAllocate, f.path).error(opAllocate, f.path); err != nil {
		return err
	}
	if size > int64(len(f.data)) {
		f.data = append(f.data, make([]byte, int(size)-len(f.data))...)
	}
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.data)), nil
}

func (f *memFile) Sequential(int64) error { return nil }

func (f *memFile) Close() error { return nil }

// memDirectFile is as strict about addresses as the kernel.
type memDirectFile struct{ *memFile }

func (f memDirectFile) WriteDurable(b []byte, off int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off%diskBlock != 0 || len(b)%diskBlock != 0 || uintptr(unsafe.Pointer(&b[0]))%diskBlock != 0 {
		return &fs.PathError{Op: opWrite, Path: f.path, Err: syscall.EINVAL}
	}
	if err := f.fs.ask(opDirect, f.path).error(opDirect, f.path); err != nil {
		return err
	}
	if _, err := f.write(b, off); err != nil {
		return err
	}
	return f.sync()
}

var errBroken = fmt.Errorf("the disk is broken: %w", syscall.EIO)

// failAt makes the n-th call of an operation fail, and all later ones of that kind if the disk stays broken.
func failAt(op string, n int, f fault, stays bool) func(string, string) *fault {
	return func(asked, _ string) *fault {
		if asked != op {
			return nil
		}
		if n--; n == 0 || n < 0 && stays {
			return &f
		}
		return nil
	}
}

var _ filesystem = (*memFS)(nil)
