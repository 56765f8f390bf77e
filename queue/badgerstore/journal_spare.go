package badgerstore

import (
	"errors"

	"go.uber.org/zap"
)

// prepareAll keeps one segment ready until the journal is closed. Where there was no room for one it tries again when somebody asks: the disk may have room by then.
func (j *journal) prepareAll() {
	defer j.wg.Done()
	p := j.prepare(true)
	for {
		if p.err != nil {
			j.log.Warn("no room for the next journal segment", zap.Error(p.err))
		}
		select {
		case reply := <-j.want:
			if p.err != nil {
				p = j.prepare(true)
			}
			reply <- p
			if p.err == nil {
				p = j.prepare(false)
			}
		case <-j.quit:
			if p.err == nil {
				j.logError("close spare journal segment", p.file.Close())
			}
			return
		}
	}
}

// prepare returns a file of the right size whose blocks are on the disk. A new one is written full of zeros, because a sync of
// data in blocks that were written before needs no sync of the file system's metadata; unless somebody is waiting for it.
func (j *journal) prepare(quick bool) prepared {
	j.mu.Lock()
	path := ""
	if n := len(j.free); n > 0 {
		path, j.free = j.free[n-1], j.free[:n-1]
	}
	j.mu.Unlock()
	if path != "" {
		return j.reuse(path)
	}
	info, err := newSegmentInfo(0, false, false)
	if err != nil {
		return prepared{err: err}
	}
	path = freePath(j.dir, info.gen)
	f, err := j.fs.Create(path)
	if err != nil {
		return prepared{err: err}
	}
	err = f.Allocate(j.size)
	if err == nil && !quick {
		err = j.zero(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return prepared{err: errors.Join(err, f.Close(), j.fs.Remove(path))}
	}
	return prepared{file: f, path: path}
}

func (j *journal) reuse(path string) prepared {
	f, err := j.fs.Open(path)
	if err != nil {
		return prepared{err: err}
	}
	size, err := f.Size()
	if err == nil && size < j.size {
		err = f.Allocate(j.size)
	}
	if err != nil {
		return prepared{err: errors.Join(err, f.Close())}
	}
	return prepared{file: f, path: path}
}

func (j *journal) zero(f file) error {
	chunk := make([]byte, zeroChunk)
	for off := int64(0); off < j.size; off += zeroChunk {
		if _, err := f.WriteAt(chunk[:min(zeroChunk, j.size-off)], off); err != nil {
			return err
		}
		select {
		case <-j.quit:
			return nil
		default:
		}
	}
	return nil
}
