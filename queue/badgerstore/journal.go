package badgerstore

import (
	"fmt"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
)

// journal is the log in front of Badger: what is in it and durable is promised. Only the leader of a group appends; the applier
// releases segments; a goroutine of its own keeps the next segment ready, so that no append waits for one to be written full of zeros.
type journal struct {
	fs     filesystem
	dir    string
	size   int64 // of a new segment
	key    []byte
	noSync bool
	log    *zap.Logger
	note   func(base uint64) error // is told of each new segment before it is used

	cur   *segment // only the leader's
	buf   []byte   // only the leader's; begins on a multiple of a block
	aside *aside   // only the leader's; nil where there is none

	mu     sync.Mutex
	sealed []doneSegment // full, oldest first
	free   []string      // files to be used again

	want  chan chan prepared // asks for a segment
	asked atomic.Int64       // the least size of the one that is asked for; 0: none is
	quit  chan struct{}
	wg    sync.WaitGroup
}

// segment is the one that is being written.
type segment struct {
	segmentInfo
	file     file
	direct   directFile // nil: it is written through the system's cache
	path     string
	cipher   *frameCipher
	off, cap int64
	last     uint64
}

type doneSegment struct {
	path string
	gen  uint64
	last uint64 // number of the last event in it
}

type prepared struct {
	file file
	path string
	size int64
	err  error
}

const (
	journalPattern = "*.seg"
	freePattern    = "free-*"
	maxFree        = 2
	zeroChunk      = 1 << 20
)

// openJournal takes over a directory whose segments were read by replay.
func openJournal(fsys filesystem, dir string, o *Options, old []doneSegment, note func(base uint64) error) (*journal, error) {
	free, err := fsys.List(dir, freePattern)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	for len(free) > maxFree {
		if err := fsys.Remove(free[len(free)-1]); err != nil {
			return nil, fmt.Errorf("remove spare segment: %w", err)
		}
		free = free[:len(free)-1]
	}
	j := &journal{
		fs: fsys, dir: dir, size: o.SegmentSize, key: o.EncryptionKey, noSync: o.NoSync, log: o.Logger, note: note,
		sealed: old, free: free,
		want: make(chan chan prepared), quit: make(chan struct{}),
	}
	if j.aside, err = newAside(); err != nil {
		j.log.Debug("journal is written without asynchronous I/O", zap.Error(err))
	}
	j.wg.Add(1)
	go j.prepareAll()
	return j, nil
}

func sealOverhead(key []byte) int {
	if len(key) == 0 {
		return 0
	}
	return 16
}

// rotate closes the current segment and starts the next one, which has room for so many bytes. Everything about the new one is durable before it is used.
func (j *journal) rotate(base uint64, room int) error {
	p, err := j.spare(room)
	if err != nil {
		return err
	}
	info, err := newSegmentInfo(base, len(j.key) > 0, j.noSync)
	if err != nil {
		return err
	}
	info.fullSize = p.size
	next := &segment{segmentInfo: info, file: p.file, path: segmentPath(j.dir, base), off: segmentHeader, cap: p.size}
	if next.cipher, err = newFrameCipher(j.key, info.salt); err != nil {
		return err
	}
	next.direct = j.openDirect(p.path, next)
	if c := j.cur; c != nil && j.noSync {
		// So that a power cut takes only the end of the newest segment, and leaves no hole before it.
		if err := c.file.Sync(); err != nil {
			return fmt.Errorf("sync journal %s: %w", c.path, err)
		}
	}
	if next.direct == nil {
		if _, err := p.file.WriteAt(next.encode(), 0); err != nil {
			return fmt.Errorf("write header of new journal segment: %w", err)
		}
	}
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("sync new journal segment: %w", err)
	}
	if err := j.fs.Rename(p.path, next.path); err != nil {
		return fmt.Errorf("name new journal segment: %w", err)
	}
	if err := j.fs.SyncDir(j.dir); err != nil {
		return err
	}
	if err := j.note(base); err != nil {
		return err
	}
	if err := j.sealCurrent(); err != nil {
		return err
	}
	j.cur = next
	return nil
}

func (j *journal) sealCurrent() error {
	c := j.cur
	if c == nil {
		return nil
	}
	j.cur = nil
	if c.direct != nil {
		if err := c.direct.Close(); err != nil {
			return fmt.Errorf("close journal %s: %w", c.path, err)
		}
	}
	if err := c.file.Close(); err != nil {
		return fmt.Errorf("close journal %s: %w", c.path, err)
	}
	last := c.last
	if last == 0 { // nothing was written to it
		last = c.base - 1
	}
	j.mu.Lock()
	j.sealed = append(j.sealed, doneSegment{c.path, c.gen, last})
	j.mu.Unlock()
	return nil
}

// release frees the segments of which Badger holds everything, up to the event with the number applied. After an error the journal must not be
// used any more: a name that comes back after a power cut would belong to a file with other events in it.
func (j *journal) release(applied uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for ; n < len(j.sealed) && j.sealed[n].last <= applied; n++ {
		if err := j.freeSegment(j.sealed[n]); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	j.sealed = j.sealed[n:]
	// The old name is gone for good before the file gets a new header, so a bad header under that name is always damage.
	return j.fs.SyncDir(j.dir)
}

// freeSegment keeps a segment's file to be used again, or removes it. The caller holds j.mu.
func (j *journal) freeSegment(s doneSegment) error {
	if len(j.free) >= maxFree {
		if err := j.fs.Remove(s.path); err != nil {
			return fmt.Errorf("remove journal segment: %w", err)
		}
		return nil
	}
	free := freePath(j.dir, s.gen)
	if err := j.fs.Rename(s.path, free); err != nil {
		return fmt.Errorf("free journal segment: %w", err)
	}
	j.free = append(j.free, free)
	return nil
}

// close ends the journal. With applied it frees what Badger holds.
func (j *journal) close(applied uint64) error {
	close(j.quit)
	j.wg.Wait()
	j.closeAside()
	if err := j.sealCurrent(); err != nil {
		return err
	}
	return j.release(applied)
}

func (j *journal) logError(doing string, err error) {
	if err != nil {
		j.log.Warn(doing, zap.Error(err))
	}
}
