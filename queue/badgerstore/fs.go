package badgerstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// file is what the journal needs of a file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error                 // the contents and what is needed to read them back are durable
	Allocate(size int64) error   // the file has that size and the disk has room for it
	Size() (int64, error)        //
	Sequential(from int64) error // a hint: what comes after from is about to be read in order
}

// directFile is a file that is written past the system's cache.
type directFile interface {
	// WriteDurable writes whole blocks, from memory that begins on a multiple of one. They are durable when it returns.
	WriteDurable(b []byte, off int64) error
	Close() error
}

// filesystem is what the journal does to its directory. Tests replace it to make writes and syncs fail.
type filesystem interface {
	Create(path string) (file, error)
	Open(path string) (file, error)             // for reading and writing
	OpenDirect(path string) (directFile, error) // a file that exists; where direct writes are not to be had, this fails, or the first one does
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(path string) error
	List(dir, pattern string) ([]string, error)
}

type osFS struct{}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return fdatasync(f.File) }

func (f osFile) Allocate(size int64) error { return fallocate(f.File, size) }

func (f osFile) Sequential(from int64) error { return readAhead(f.File, from) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osFS) Create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(path string) error { return os.Remove(path) }

func (osFS) List(dir, pattern string) ([]string, error) {
	return filesIn(dir, pattern)
}

// filesIn returns the paths of a directory's files whose name fits a pattern, in order; none if there is no such directory. The directory's own path may have any
// letters, also those that mean something in a pattern.
func filesIn(dir, pattern string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, entry := range entries {
		fits, err := filepath.Match(pattern, entry.Name())
		if err != nil {
			return nil, err
		}
		if fits {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths, nil
}

func (osFS) SyncDir(path string) error { return syncDir(path) }

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open directory to sync it: %w", err)
	}
	if err := d.Sync(); err != nil {
		_ = d.Close() // the sync's error says it all
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return d.Close()
}
