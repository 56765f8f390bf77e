package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// prepare makes room for opening the store: if there is too little, the ballast is given up. If there still is too little, opening would end
// the process.
func (g *diskGuard) prepare() error {
	if err := g.measure(); err != nil {
		return err
	}
	if g.free.Load() < g.reserve.Load()/2 {
		if err := g.giveUpBallast(opening); err != nil {
			return err
		}
	}
	if err := g.toStart(g.toOpen()); err != nil {
		return err
	}
	return g.update()
}

const opening = "opening the store"

// toStart requires what opening the store takes.
func (g *diskGuard) toStart(need int64) error {
	if err := g.require(need, opening); err != nil {
		return fmt.Errorf("%w: about %s are missing; make room and start again", err, mebibytes(need-g.free.Load()+1<<20-1))
	}
	return nil
}

// toOpen is the least that has to be free for Badger to open or to close, and to write a little: of each memtable's log it makes a table, and it may compact those.
func (g *diskGuard) toOpen() int64 {
	logs, err := filesIn(filepath.Join(g.dir, "db"), "*.mem")
	if err != nil {
		return g.least / 8 // whoever opens the database says what is wrong with it
	}
	size := int64(0)
	for _, path := range logs {
		if info, err := os.Stat(path); err == nil {
			size += allocated(info)
		}
	}
	return g.least/8 + 2*size
}

// require gives the ballast up if less than need is free, and returns queue.ErrFull if it still is less. doing is what needs it.
func (g *diskGuard) require(need int64, doing string) error {
	if err := g.measure(); err != nil {
		return err
	}
	if g.free.Load() < need {
		if err := g.giveUpBallast(doing); err != nil {
			return err
		}
	}
	if free := g.free.Load(); free < need {
		return fmt.Errorf("%w: %s are free on the disk of %s, and %s takes up to %s", queue.ErrFull, mebibytes(free), g.dir, doing, mebibytes(need))
	}
	return nil
}

func (g *diskGuard) giveUpBallast(doing string) error {
	path := filepath.Join(g.dir, ballastName)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("give up ballast: %w", err)
	}
	g.log.Warn("the disk is full; the ballast was given up", zap.String("for", doing), zap.String("file", path), zap.Int64("free", g.free.Load()))
	return g.measure()
}

// await waits until so much is free.
func (g *diskGuard) await(need int64) {
	ticker := time.NewTicker(diskInterval)
	defer ticker.Stop()
	for g.measure() != nil || g.free.Load() < need {
		<-ticker.C
	}
}

// What a row takes beside its key and its value, and an event beside its record: rows of its deliveries, of its claim and of counters.
const (
	rowRest   = 64
	eventRest = 1 << 10
	rowCopies = 3 // of what does not go to the value log: the log of a memtable, the table that it becomes, and another one when that is compacted
)

// room is about what an event takes of the disk in the database, whose record has so many bytes.
func (o *Options) room(record int) int64 {
	if record >= o.valueThreshold() {
		return int64(record + rowCopies*eventRest)
	}
	return int64(rowCopies * (record + eventRest))
}

// room is about what an operation takes of the disk.
func (o *op) room(with *Options) (n int64) {
	if o.group != nil {
		for _, p := range o.group.pends {
			n += with.room(len(p.record))
		}
	}
	for _, m := range o.muts {
		n += int64(rowCopies * (len(m.key) + len(m.value) + rowRest))
	}
	return n + int64(rowCopies*rowRest*len(o.left))
}
