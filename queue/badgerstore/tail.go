package badgerstore

import (
	"sync"

	"github.com/sluice-webhooks/sluice/queue"
)

// tail holds the events that are durable in the journal and that Badger's newest snapshot does not show yet. Their numbers are consecutive.
type tail struct {
	mu    sync.Mutex
	first uint64
	pends []*pending
}

func (t *tail) push(pends []*pending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pends) == 0 {
		t.first = pends[0].seq
	}
	t.pends = append(t.pends, pends...)
}

// find returns an event of the tail and the deliveries it came with; false if it is not there.
func (t *tail) find(seq uint64) (*queue.Event, []queue.NewDelivery, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq < t.first || seq-t.first >= uint64(len(t.pends)) {
		return nil, nil, false
	}
	p := t.pends[seq-t.first]
	news := make([]queue.NewDelivery, len(p.deliveries))
	for i, d := range p.deliveries {
		news[i] = queue.NewDelivery{Destination: d.lane.name, OrderKey: d.orderKey, NotBefore: fromNanos(d.wanted), OrderAt: fromNanos(d.place)}
	}
	return p.ev, news, true
}

// enqueued returns when an event of the tail was enqueued.
func (t *tail) enqueued(seq uint64) (int64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq < t.first || seq-t.first >= uint64(len(t.pends)) {
		return 0, false
	}
	return t.pends[seq-t.first].enqueued, true
}

// after returns the number of events after the one with a number; false if some of them were dropped already.
func (t *tail) after(seq uint64) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first > seq+1 {
		return 0, false
	}
	return max(0, len(t.pends)-int(seq+1-t.first)), true
}

// drop forgets the events up to seq and returns how much memory that frees.
func (t *tail) drop(seq uint64) (bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.pends) && t.pends[n].seq <= seq {
		p := t.pends[n]
		bytes += p.bytes
		// The dedup claims hold on to p for a little longer.
		p.ev, p.record, p.deliveries = nil, nil, nil
		t.pends[n] = nil
		n++
	}
	t.pends = t.pends[n:]
	t.first += uint64(n)
	return bytes
}

// applied is called when Badger holds the events up to seq, and everybody can see it.
func (s *Store) applied(seq uint64) {
	s.handing.Lock() // whoever hands them on is done with them
	freed := s.tail.drop(seq)
	s.handing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intake.bytes -= freed
	if freed > 0 {
		s.intake.freed()
	}
	s.claims.rotate(seq)
}

// releaseFailed lets those who wait for space find out that the store has failed.
func (s *Store) releaseFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intake.freed()
}
