package badgerstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/sluice-webhooks/sluice/queue"
)

// room watches the disk while rows are carried into a new store, which nobody else does then: what would be a full disk to Badger is the end of the process.
type room struct {
	disk *diskGuard
	out  func() error                     // writes what was taken so far, so that the disk shows it
	done func() (text string, left int64) // how far it has come, and how many bytes are still to be written; 0: nobody knows
	step int64                            // bytes between two looks
	rows int
	held int64 // bytes since the last look
	sum  int64 // bytes of all rows
}

const (
	roomRows = 1024 // rows between two looks at most
	roomPart = 64   // of the reserve: what is written between two looks at most
)

func newRoom(g *diskGuard, out func() error, done func() (string, int64)) *room {
	return &room{disk: g, out: out, done: done, step: min(diskStep, g.reserve.Load()/roomPart)}
}

// take counts a row that is about to be written. It refuses to go on when the disk has no more room than the store needs to come to an end.
func (r *room) take(n int) error {
	r.rows++
	r.held += int64(n)
	r.sum += int64(n)
	if r.held < r.step && r.rows < roomRows {
		return nil
	}
	r.rows, r.held = 0, 0
	if err := errors.Join(r.out(), r.disk.update()); err != nil {
		return err
	}
	if !r.disk.stopped() {
		return nil
	}
	done, left := r.done()
	keep, free := r.disk.reserve.Load()/2, r.disk.free.Load()
	missing := "nobody knows how much is still to come"
	if left > 0 {
		missing = "about " + mebibytes(left+keep-free+1<<20) + " are missing"
	}
	return fmt.Errorf("%w: %s of the disk of %s are free, and %s have to stay free: %s; %s: %s", queue.ErrFull, mebibytes(free), r.disk.dir, mebibytes(keep), done, missing, outIncomplete)
}

// sizeOf is how many bytes a file has; 0 for what is no file.
func sizeOf(r io.Reader) int64 {
	f, ok := r.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return 0
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// fits refuses what can be seen not to fit before anything is written: nothing is compressed, neither in a backup nor in a store. dir need not exist.
func (o *Options) fits(size int64, dir string) error {
	if size == 0 {
		return nil
	}
	for {
		free, _, err := o.diskSpace(dir)
		if err == nil {
			if free < size {
				return fmt.Errorf("%w: %s of the disk of %s are free, and the backup has %s", queue.ErrFull, mebibytes(free), dir, mebibytes(size))
			}
			return nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return fmt.Errorf("free space of %s: %w", dir, err)
		}
		dir = parent
	}
}
