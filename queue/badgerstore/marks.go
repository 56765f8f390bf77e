package badgerstore

import (
	"math"
	"time"

	"go.uber.org/zap"
)

// marks say where the rows of a destination begin in its tables. A restart begins to read there and not at the beginning of the table,
// because Badger takes half a microsecond for each deleted row on the way.
type marks struct {
	fifo uint64 // block
	due  int64
	open uint64
}

// markInterval is how often marks and the high-water mark are written, if anything has happened.
const markInterval = time.Second

// keepMarks writes the marks until the store is closed.
func (s *Store) keepMarks() {
	defer s.wg.Done()
	ticker := time.NewTicker(markInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.quit:
			s.mark()
			return
		}
		if s.Failure() != nil || s.disk.stopped() {
			continue
		}
		s.mark()
		if err := s.writeMark(); err != nil {
			s.log.Warn("high-water mark was not written", zap.Error(err))
		}
	}
}

// mark queues the marks of the lanes on which something has happened.
func (s *Store) mark() {
	for _, l := range s.lanes.all() {
		s.handing.Lock() // what the applier has of a group is in the lanes too
		l.mu.Lock()
		l.drainTimed(s.horizon())
		if m := l.marks(); m != l.marked {
			l.marked = m
			s.commit(l, &op{marks: &m})
		}
		l.mu.Unlock()
		s.handing.Unlock()
	}
}

// marks says where the rows begin once everything that was decided so far is written. The caller holds l.mu.
func (l *lane) marks() marks {
	m := marks{fifo: blockOf(l.cursor), due: math.MaxInt64, open: l.lowOpen}
	if len(l.loaded) > 0 {
		m.fifo = min(m.fifo, blockOf(l.loaded[0].seq))
	}
	scheduled := func(e entry) {
		if e.place == inFIFO {
			m.fifo = min(m.fifo, blockOf(e.seq))
		} else {
			m.due = min(m.due, e.due)
		}
	}
	l.waiting(scheduled)
	for _, e := range l.schedule.unseen {
		scheduled(e)
	}
	if !l.schedule.complete {
		m.due = min(m.due, l.schedule.last.due)
	}
	for _, held := range l.leases {
		scheduled(entry{place: held.record.place, seq: held.seq, due: held.record.due})
	}
	return m
}
