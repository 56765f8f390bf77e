package badgerstore

import (
	"errors"
	"fmt"
	"sync"

	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

// journal is the log in front of Badger: what is in it and synced is promised. Only the leader of a group appends; the applier
// releases segments; a goroutine of its own keeps the next segment ready, so that no append waits for one to be written full of zeros.
type journal struct {
	fs     filesystem
	dir    string
	size   int64 // of a new segment
	key    []byte
	noSync bool
	log    *zap.Logger

	cur   *segment   // only the leader's
	buf   []byte     // only the leader's
	aside *asideSync // only the leader's; nil where there is none

	mu     sync.Mutex
	sealed []doneSegment // full, oldest first
	free   []string      // files to be used again

	want chan chan prepared // asks for a segment
	quit chan struct{}
	wg   sync.WaitGroup
}

// segment is the one that is being written.
type segment struct {
	segmentInfo
	file     file
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
	err  error
}

const (
	journalPattern = "*.seg"
	freePattern    = "free-*"
	maxFree        = 2
	zeroChunk      = 1 << 20
)

// openJournal takes over a directory whose segments were read by replay.
func openJournal(fsys filesystem, dir string, o *Options, old []doneSegment) (*journal, error) {
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
		fs: fsys, dir: dir, size: o.SegmentSize, key: o.EncryptionKey, noSync: o.NoSync, log: o.Logger,
		sealed: old, free: free,
		want: make(chan chan prepared), quit: make(chan struct{}),
	}
	if j.aside, err = newAsideSync(); err != nil {
		j.log.Debug("journal is synced without asynchronous I/O", zap.Error(err))
	}
	j.wg.Add(1)
	go j.prepareAll()
	return j, nil
}

// append writes records of consecutive events from first on as one write and returns when they are durable. continues says of
// each whether the next one belongs to the same commit. An error that wraps queue.ErrFull has changed nothing; after any other one the
// journal must not be used any more, because nobody knows what is on the disk.
func (j *journal) append(first uint64, records [][]byte, continues []bool) error {
	room := 0
	for _, r := range records {
		room += frameSize(len(r) + sealOverhead(j.key))
	}
	if j.cur == nil || j.cur.off+int64(room) > j.cur.cap {
		if err := j.rotate(first); err != nil {
			return err
		}
	}
	c := j.cur
	if segmentHeader+int64(room) > c.cap {
		return fmt.Errorf("%d bytes do not fit a journal segment of %d", room, c.cap)
	}
	j.buf = j.buf[:0]
	for i, r := range records {
		f := frame{seq: first + uint64(i), behind: uint32(i), continues: continues[i], payload: r}
		j.buf = appendFrame(j.buf, c.gen, f, c.cipher)
	}
	if _, err := c.file.WriteAt(j.buf, c.off); err != nil {
		return fmt.Errorf("write journal %s: %w", c.path, err)
	}
	if !j.noSync {
		if err := j.sync(c.file, len(records) > 1); err != nil {
			return fmt.Errorf("sync journal %s: %w", c.path, err)
		}
	}
	c.off += int64(len(j.buf))
	c.last = first + uint64(len(records)) - 1
	if cap(j.buf) > 4<<20 {
		j.buf = nil
	}
	return nil
}

// errAside means that an asynchronous sync is not to be had: nothing was submitted, and the sync has to be made in another way.
var errAside = errors.New("asynchronous sync is not to be had")

// sync syncs a file, with company aside: others want to use the processor meanwhile. To do so for a lone record would only cost it time.
func (j *journal) sync(f file, company bool) error {
	if h, ok := f.(interface{ Fd() uintptr }); ok && company && j.aside != nil {
		err := j.aside.sync(h.Fd())
		if !errors.Is(err, errAside) {
			return err
		}
		j.log.Warn("the kernel takes no asynchronous syncs any more; commits go on without", zap.Error(err))
		j.closeAside()
	}
	return f.Sync()
}

func (j *journal) closeAside() {
	if j.aside != nil {
		j.logError("close asynchronous syncs", j.aside.close())
		j.aside = nil
	}
}

func sealOverhead(key []byte) int {
	if len(key) == 0 {
		return 0
	}
	return 16
}

// rotate closes the current segment and starts the next one. Everything about the new one is durable before it is used.
func (j *journal) rotate(base uint64) error {
	reply := make(chan prepared, 1)
	j.want <- reply
	p := <-reply
	if p.err != nil {
		return fmt.Errorf("new journal segment: %w: %w", queue.ErrFull, p.err)
	}
	info, err := newSegmentInfo(base, len(j.key) > 0, j.noSync)
	if err != nil {
		return err
	}
	next := &segment{segmentInfo: info, file: p.file, path: segmentPath(j.dir, base), off: segmentHeader}
	if next.cipher, err = newFrameCipher(j.key, info.salt); err != nil {
		return err
	}
	if next.cap, err = p.file.Size(); err != nil {
		return fmt.Errorf("new journal segment: %w", err)
	}
	if c := j.cur; c != nil && j.noSync {
		// So that a power cut takes only the end of the newest segment, and leaves no hole before it.
		if err := c.file.Sync(); err != nil {
			return fmt.Errorf("sync journal %s: %w", c.path, err)
		}
	}
	if _, err := p.file.WriteAt(info.encode(), 0); err != nil {
		return fmt.Errorf("write header of new journal segment: %w", err)
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
