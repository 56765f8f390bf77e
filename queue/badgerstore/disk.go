package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// diskGuard keeps the disk from running full. Badger writes to sparse files that it maps into memory, so a full disk is no
// error to it: it is a bus error that ends the process, and again at the next start. So the store stops long before.
//
//	free >= reserve       everything
//	free <  reserve       no new events; deliveries, history and pruning go on
//	free <  reserve / 2   nothing is written: deliveries pause, outcomes wait in memory, operators are refused
//
// It goes on by itself when there is room again.
type diskGuard struct {
	dir     string
	log     *zap.Logger
	least   int64        // that the reserve can be
	reserve atomic.Int64 // these two can be changed while the store is open
	maxSize atomic.Int64
	ballast int64
	space   func(dir string) (free, total int64, err error)

	free    atomic.Int64
	used    atomic.Int64
	level   atomic.Int32
	written atomic.Int64 // since the last look
	look    chan struct{}

	mu    sync.Mutex
	moved chan struct{} // closed when the level changes
}

const (
	diskOK = iota
	diskLow
	diskStopped
)

const (
	diskInterval = 250 * time.Millisecond
	diskStep     = 64 << 20 // bytes written between two looks at most
	usedInterval = 8        // looks between two measurements of the store's own size
	ballastName  = "ballast"
)

func newDiskGuard(dir string, o *Options) *diskGuard {
	g := &diskGuard{
		dir: dir, log: o.Logger, least: o.reserve(), ballast: o.ballastSize(), space: o.diskSpace,
		look: make(chan struct{}, 1), moved: make(chan struct{}),
	}
	g.setLimits(o.limits())
	return g
}

// reserve is what has to be free for what is already accepted: memtables and value log, which Badger maps at twice
// their size, two journal segments, and room for a compaction.
func (o *Options) reserve() int64 {
	const compaction = 256 << 20
	return int64(o.NumMemtables+1)*2*o.MemTableSize + 2*o.ValueLogFileSize + 2*o.SegmentSize + min(compaction, 16*o.MemTableSize)
}

func (o *Options) ballastSize() int64 {
	switch {
	case o.Ballast < 0:
		return 0
	case o.Ballast == 0:
		return min(256<<20, o.reserve()/2)
	}
	return o.Ballast
}

// keepBallast makes the ballast if there is room to spare.
func (g *diskGuard) keepBallast() {
	path := filepath.Join(g.dir, ballastName)
	if _, err := os.Stat(path); g.ballast == 0 || err == nil || g.free.Load() < 3*g.reserve.Load() {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(fallocate(f, g.ballast), f.Close())
	}
	if err != nil {
		g.log.Warn("no ballast", zap.Error(errors.Join(err, os.Remove(path))))
	}
}

// watch looks at the disk until quit is closed.
func (g *diskGuard) watch(quit <-chan struct{}) {
	ticker := time.NewTicker(diskInterval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-quit:
			return
		case <-ticker.C:
		case <-g.look:
		}
		if err := g.update(); err != nil {
			g.log.Warn("cannot find out how much of the disk is free", zap.Error(err))
		}
		if n%usedInterval == 0 {
			g.used.Store(dirSize(g.dir))
			g.keepBallast()
		}
	}
}

func (g *diskGuard) measure() error {
	free, _, err := g.space(g.dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", g.dir, err)
	}
	g.free.Store(free)
	return nil
}

func (g *diskGuard) update() error {
	g.written.Store(0)
	if err := g.measure(); err != nil {
		return err
	}
	level := int32(diskOK)
	switch free := g.free.Load(); {
	case free < g.reserve.Load()/2:
		level = diskStopped
	case free < g.reserve.Load():
		level = diskLow
	}
	if before := g.level.Swap(level); before != level {
		g.log.Warn("free disk space", zap.String("now", levelNames[level]), zap.String("before", levelNames[before]),
			zap.Int64("free", g.free.Load()), zap.Int64("reserve", g.reserve.Load()))
		g.mu.Lock()
		close(g.moved)
		g.moved = make(chan struct{})
		g.mu.Unlock()
	}
	return nil
}

var levelNames = [...]string{"enough", "low: no new events are accepted", "too little: nothing is written, deliveries pause"}

// wrote counts bytes on their way to the disk.
func (g *diskGuard) wrote(n int) {
	if g.written.Add(int64(n)) >= diskStep {
		select {
		case g.look <- struct{}{}:
		default:
		}
	}
}

func (g *diskGuard) stopped() bool { return g.level.Load() == diskStopped }

// low reports whether history should make room.
func (g *diskGuard) low() bool {
	limit := g.maxSize.Load()
	return g.level.Load() != diskOK || limit > 0 && g.used.Load() >= limit
}

// accepts returns why no new events are accepted, nil if they are.
func (g *diskGuard) accepts() error {
	if g.level.Load() != diskOK {
		return fmt.Errorf("%w: %s of the disk are free, and %s have to stay free (min_free)", queue.ErrFull, mebibytes(g.free.Load()), mebibytes(g.reserve.Load()))
	}
	if limit := g.maxSize.Load(); limit > 0 && g.used.Load() >= limit {
		return fmt.Errorf("%w: it takes %s, and its limit is %s (max_size)", queue.ErrFull, mebibytes(g.used.Load()), mebibytes(limit))
	}
	return nil
}

// writable returns why nothing is written, nil if something is.
func (g *diskGuard) writable() error {
	if !g.stopped() {
		return nil
	}
	return fmt.Errorf("%w: %s of the disk are free, and with less than %s nothing is written: make room, and it goes on by itself",
		queue.ErrFull, mebibytes(g.free.Load()), mebibytes(g.reserve.Load()/2))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// changed returns a channel that is closed when the level changes.
func (g *diskGuard) changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.moved
}

// spaces returns what is free on the disk, and what the store takes of it.
func (g *diskGuard) spaces() (free, used int64) { return g.free.Load(), g.used.Load() }

// dirSize returns what the files of a store take on the disk, without the ballast. Files that vanish meanwhile do not count.
func dirSize(dir string) (size int64) {
	// Nothing but missing files can go wrong here that the rest of the store would not notice first.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ballastName {
			return nil //nolint:nilerr // a file that is gone takes no space
		}
		if info, err := d.Info(); err == nil {
			size += allocated(info)
		}
		return nil
	})
	return size
}
