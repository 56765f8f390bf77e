package badgerstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// replayer reads the journal of a store that was not closed properly, or was killed.
type replayer struct {
	fs      filesystem
	dir     string
	key     []byte
	applied uint64 // what Badger holds

	next  uint64 // number of the next event
	held  []heldFrame
	apply func(seq uint64, record []byte) error
}

type heldFrame struct {
	seq     uint64
	payload []byte
}

type oldSegment struct {
	segmentInfo
	path string
	file file
	size int64
}

const noLimit = ^uint64(0)

// replayJournal calls apply for each event that is in the journal and not in Badger, in order. It returns the number of the last
// event of both, and the segments it found. A torn end is what a crash leaves behind; anything else that is missing or
// broken and was promised is damage (queue.ErrDamaged), and the store must not be opened over it.
func replayJournal(fsys filesystem, dir string, key []byte, applied uint64, apply func(uint64, []byte) error) (uint64, []doneSegment, error) {
	r := &replayer{fs: fsys, dir: dir, key: key, applied: applied, next: applied + 1, apply: apply}
	segments, err := r.open()
	defer func() {
		for _, s := range segments {
			_ = s.file.Close() // it was only read
		}
	}()
	if err != nil {
		return 0, nil, err
	}
	done := make([]doneSegment, 0, len(segments))
	for i, s := range segments {
		if s.base > r.next {
			return 0, nil, fmt.Errorf("%w: journal %s begins with event %s, but %s is missing: a segment or the newest part of the database is lost",
				queue.ErrDamaged, filepath.Base(s.path), queue.ID(s.base), queue.ID(r.next))
		}
		limit := noLimit
		if i+1 < len(segments) {
			limit = segments[i+1].base
		}
		last, err := r.segment(s, limit)
		if err != nil {
			return 0, nil, err
		}
		done = append(done, doneSegment{s.path, s.gen, last})
	}
	return r.next - 1, done, nil
}

func (r *replayer) open() ([]*oldSegment, error) {
	paths, err := r.fs.List(r.dir, journalPattern)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var segments []*oldSegment
	for _, path := range paths {
		s := &oldSegment{path: path}
		if s.file, err = r.fs.Open(path); err != nil {
			return segments, fmt.Errorf("open journal: %w", err)
		}
		segments = append(segments, s)
		if s.size, err = s.file.Size(); err != nil {
			return segments, fmt.Errorf("open journal: %w", err)
		}
		header := make([]byte, min(segmentHeader, s.size))
		if _, err := s.file.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
			return segments, fmt.Errorf("read journal %s: %w", filepath.Base(path), err)
		}
		if s.segmentInfo, err = decodeSegmentInfo(header); errors.Is(err, ErrFormat) {
			return segments, fmt.Errorf("journal %s: %w", filepath.Base(path), err)
		} else if err != nil {
			return segments, fmt.Errorf("%w: journal %s: %w", queue.ErrDamaged, filepath.Base(path), err)
		}
		if s.sealed && len(r.key) == 0 {
			return segments, fmt.Errorf("journal %s is encrypted, and no encryption key is configured", filepath.Base(path))
		}
	}
	slices.SortFunc(segments, func(a, b *oldSegment) int { return cmp.Compare(a.base, b.base) })
	return segments, nil
}

// segment reads one segment up to the event before limit. It returns the number of the last event in it.
func (r *replayer) segment(s *oldSegment, limit uint64) (uint64, error) {
	var cipher *frameCipher
	if s.sealed {
		var err error
		if cipher, err = newFrameCipher(r.key, s.salt); err != nil {
			return 0, err
		}
	}
	r.held = r.held[:0]
	seq := s.base
	sr := newSegmentReader(s.file, s.size, s.segmentInfo)
	for seq < limit {
		f, err := sr.next(seq)
		if err != nil {
			return 0, fmt.Errorf("read journal %s: %w", filepath.Base(s.path), err)
		}
		if f == nil || f.seq != seq {
			if f, err = r.resync(s, sr, seq, limit); err != nil {
				return 0, err
			}
			if f == nil {
				if limit == noLimit && s.size < s.fullSize { // nothing tells how far it went
					return 0, fmt.Errorf("%w: journal %s has lost its end: it has %d bytes of %d", queue.ErrDamaged, filepath.Base(s.path), s.size, s.fullSize)
				}
				break
			}
			seq = f.seq
		}
		if err := r.take(f, cipher, s.path); err != nil {
			return 0, err
		}
		seq++
	}
	// The beginning of a commit that was never finished was not promised: its numbers will be given again, in another segment.
	seq -= uint64(len(r.held))
	r.held = r.held[:0]
	return seq - 1, nil
}

// resync decides about a place where there is no intact frame with the number seq. It returns nil where the journal ends, or the
// frame to go on with if Badger holds everything before that.
func (r *replayer) resync(s *oldSegment, sr *segmentReader, seq, limit uint64) (*frame, error) {
	f, err := sr.search(seq)
	if err != nil {
		return nil, fmt.Errorf("read journal %s: %w", filepath.Base(s.path), err)
	}
	if f == nil || f.seq >= limit {
		return nil, nil
	}
	if f.seq <= r.applied+1 {
		return f, nil
	}
	if s.loose {
		return nil, nil // nothing of it was promised to survive this
	}
	if f.seq-uint64(f.behind) > max(seq, r.applied+1) {
		return nil, fmt.Errorf("%w: journal %s: event %s is broken, and what was written after it is intact",
			queue.ErrDamaged, filepath.Base(s.path), queue.ID(max(seq, r.applied+1)))
	}
	return nil, nil // pages of a write that was never finished
}

// take holds a frame back until the commit it belongs to is complete, and applies the commit.
func (r *replayer) take(f *frame, cipher *frameCipher, path string) error {
	if f.seq <= r.applied {
		r.next = max(r.next, f.seq+1)
		return nil
	}
	payload := append([]byte(nil), f.payload...)
	if cipher != nil {
		var err error
		if payload, err = cipher.open(f.seq, f.payload); err != nil {
			return fmt.Errorf("journal %s: event %s cannot be decrypted: the encryption key is not the one it was written with: %w",
				filepath.Base(path), queue.ID(f.seq), err)
		}
	}
	r.held = append(r.held, heldFrame{f.seq, payload})
	if f.continues {
		return nil
	}
	for _, h := range r.held {
		if err := r.apply(h.seq, h.payload); err != nil {
			return err
		}
	}
	r.next = f.seq + 1
	r.held = r.held[:0]
	return nil
}
