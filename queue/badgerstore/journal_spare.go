package badgerstore

import (
	"errors"
	"fmt"

	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

// prepareAll keeps one segment ready until the journal is closed. Where there was no room for one it tries again when somebody asks: the disk may have room by then.
func (j *journal) prepareAll() {
	defer j.wg.Done()
	p := j.prepare(true)
	for {
		if p.err != nil && !errors.Is(p.err, errEnding) {
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

// spare returns the file for the next segment, with room for so many bytes.
func (j *journal) spare(room int) (prepared, error) {
	for {
		reply := make(chan prepared, 1)
		j.want <- reply
		p := <-reply
		if p.err != nil {
			return p, fmt.Errorf("new journal segment: %w: %w", queue.ErrFull, p.err)
		}
		if p.size >= j.size || segmentHeader+wholeBlocks(int64(room)) <= p.size {
			return p, nil
		}
		if err := errors.Join(p.file.Close(), j.fs.Remove(p.path)); err != nil {
			return p, fmt.Errorf("remove small journal segment: %w: %w", queue.ErrFull, err)
		}
	}
}

// prepare returns a file whose blocks are on the disk. A new one is written full of zeros, because to make
// data durable in blocks that were written before needs nothing of the file system's metadata; where somebody is waiting for it, a small one.
func (j *journal) prepare(quick bool) prepared {
	j.mu.Lock()
	path := ""
	if n := len(j.free); n > 0 {
		path, j.free = j.free[n-1], j.free[:n-1]
	}
	j.mu.Unlock()
	if path != "" {
		return j.reuse(path, quick)
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
	size := j.size
	if quick {
		size = min(size, quickSegment)
	}
	if err := j.fill(f, 0, size); err != nil {
		return prepared{err: errors.Join(err, f.Close(), j.fs.Remove(path))}
	}
	return prepared{file: f, path: path, size: size}
}

// reuse takes a file that was a segment before. It may be a small one.
func (j *journal) reuse(path string, quick bool) prepared {
	f, err := j.fs.Open(path)
	if err != nil {
		return prepared{err: err}
	}
	size, err := f.Size()
	if err == nil && size < j.size && !quick {
		size, err = j.size, j.fill(f, size, j.size)
	}
	if err != nil {
		return prepared{err: errors.Join(err, f.Close(), j.fs.Remove(path))}
	}
	return prepared{file: f, path: path, size: size}
}

// errEnding means that the journal is being closed.
var errEnding = errors.New("journal is being closed")

// fill makes a file larger. It syncs piece by piece: behind all of it at once, writes to the segment in use would wait.
func (j *journal) fill(f file, from, to int64) error {
	if err := f.Allocate(to); err != nil {
		return err
	}
	chunk := make([]byte, min(zeroChunk, to-from))
	for off := from; off < to; off += zeroChunk {
		if _, err := f.WriteAt(chunk[:min(zeroChunk, to-off)], off); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		select {
		case <-j.quit:
			return errEnding
		default:
		}
	}
	return nil
}
