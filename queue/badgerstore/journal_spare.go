package badgerstore

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// prepareAll keeps one segment ready until the journal is closed. Where there was no room for one it tries again when somebody asks: the disk may have room by then.
func (j *journal) prepareAll() {
	defer j.wg.Done()
	p := j.prepare()
	for {
		if p.err != nil {
			j.log.Warn("no room for the next journal segment", zap.Error(p.err))
		}
		select {
		case reply := <-j.want:
			if p.err != nil {
				p = j.prepare()
			}
			j.asked.Store(0)
			reply <- p
			if p.err == nil {
				p = j.prepare()
			}
		case <-j.quit:
			if p.err == nil {
				j.logError("close spare journal segment", p.file.Close())
			}
			return
		}
	}
}

// spare returns the file for the next segment, with room for so many bytes of frames.
func (j *journal) spare(room int) (prepared, error) {
	j.asked.Store(segmentHeader + wholeBlocks(int64(room)))
	reply := make(chan prepared, 1)
	j.want <- reply
	p := <-reply
	if p.err != nil {
		return p, fmt.Errorf("new journal segment: %w: %w", queue.ErrFull, p.err)
	}
	return p, nil
}

// prepare returns a file whose blocks are on the disk: one that was a segment before, or a new one.
func (j *journal) prepare() prepared {
	j.mu.Lock()
	path := ""
	if n := len(j.free); n > 0 {
		path, j.free = j.free[n-1], j.free[:n-1]
	}
	j.mu.Unlock()
	open := j.fs.Open
	if path == "" {
		info, err := newSegmentInfo(0, false, false)
		if err != nil {
			return prepared{err: err}
		}
		path, open = freePath(j.dir, info.gen), j.fs.Create
	}
	f, err := open(path)
	if err != nil {
		return prepared{err: err}
	}
	size, err := f.Size()
	if err == nil {
		size, err = j.fill(f, size)
	}
	if err != nil {
		return prepared{err: errors.Join(err, f.Close(), j.fs.Remove(path))}
	}
	return prepared{file: f, path: path, size: size}
}

// fill makes a file as large as a segment and returns its size. It is smaller where somebody waits for it, or the journal is being closed. What is new is written full of zeros,
// because to make data durable in blocks that were written before needs nothing of the file system's metadata; and it is synced piece by piece, because writes to the
// segment in use would have to wait behind all of it.
func (j *journal) fill(f file, size int64) (int64, error) {
	chunk := make([]byte, min(zeroChunk, max(0, j.size-size)))
	for size < j.size && !j.enough(size) {
		next := min(size+zeroChunk, j.size)
		if err := f.Allocate(next); err != nil {
			return 0, err
		}
		if _, err := f.WriteAt(chunk[:next-size], size); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		size = next
	}
	return size, nil
}

// enough reports whether a file that is being filled is to be handed out, or kept, as it is.
func (j *journal) enough(size int64) bool {
	select {
	case <-j.quit:
		return true
	default:
	}
	asked := j.asked.Load()
	return asked > 0 && size >= max(asked, leastSegment)
}
