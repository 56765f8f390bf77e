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

// SetLimits changes the limits from now on.
func (s *Store) SetLimits(l Limits) error {
	if err := s.usable(); err != nil {
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
