package badgerstore

import (
	"fmt"

	"go.uber.org/zap"
)

// Limits are the options that can be changed while the store is open. They mean what the fields of [Options] mean.
type Limits struct {
	MinFree    int64
	MaxSize    int64
	MaxPending int64
}

func (o *Options) limits() Limits { return Limits{o.MinFree, o.MaxSize, o.MaxPending} }

// leastSize is what a store may take when there is nothing in it any more: files of the journal and of memtables, and files of the value log whose garbage is not much enough to be
// collected. With a MaxSize of less it would refuse all events for good.
func (o *Options) leastSize() int64 {
	const segments = maxFree + 2 // the current one and the next
	return segments*o.SegmentSize + int64(o.NumMemtables+1)*o.MemTableSize + gcLeast*o.ValueLogFileSize
}

func (o *Options) checkSize(maxSize int64) error {
	if least := o.leastSize(); maxSize > 0 && maxSize < least {
		return fmt.Errorf("a limit of %s for the store's size is too low: its files take up to %s with nothing in them", mebibytes(maxSize), mebibytes(least+1<<20-1))
	}
	return nil
}

// CheckMaxSize refuses a MaxSize with which the store in a directory could not work.
func CheckMaxSize(dir string, maxSize int64) error {
	var o Options
	if _, err := o.keepSizes(dir); err != nil {
		return err
	}
	if err := o.setDefaults(); err != nil {
		return err
	}
	return o.checkSize(maxSize)
}

// SetLimits changes the limits from now on.
func (s *Store) SetLimits(l Limits) error {
	if err := s.usable(); err != nil {
		return fmt.Errorf("set limits: %w", err)
	}
	if err := s.o.checkSize(l.MaxSize); err != nil {
		return fmt.Errorf("set limits: %w", err)
	}
	s.disk.setLimits(l)
	s.lanes.limitPending(l.MaxPending)
	if err := s.disk.update(); err != nil {
		s.log.Warn("cannot find out how much of the disk is free", zap.Error(err))
	}
	return nil
}

func (g *diskGuard) setLimits(l Limits) {
	g.reserve.Store(max(g.least, l.MinFree))
	g.maxSize.Store(l.MaxSize)
}

// limitPending sets how many pending deliveries a destination may have.
func (l *lanes) limitPending(limit int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max[""] = limit
	for _, d := range l.byName {
		if _, own := l.max[d.name]; !own {
			d.maxPending.Store(limit)
		}
	}
}
