package badgerstore

import (
	"context"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// handOut is a leased delivery and what is known of its event.
type handOut struct {
	lease    *lease
	ev       *queue.Event
	orderKey string
	wanted   int64
}

// take adds what is stored of the event.
func (h *handOut) take(ev *queue.Event, deliveries []queue.NewDelivery, destination string) {
	h.ev = ev
	for i := range deliveries {
		if deliveries[i].Destination == destination {
			h.orderKey, h.wanted = deliveries[i].OrderKey, nanos(deliveries[i].NotBefore)
		}
	}
}

const (
	aheadLeast = 8 // fewer events are found one by one as fast
	aheadGaps  = 4 // numbers that are passed for each event that is read, at most
)

// readAhead reads the events of leases in one pass, if their numbers are close together and in order. What it leaves out complete reads, and says what is wrong with it.
func (s *Store) readAhead(l *lane, leased []handOut) {
	var want []*handOut
	for i := range leased {
		h := &leased[i]
		if h.ev != nil {
			continue
		}
		if n := len(want); n > 0 && h.lease.seq <= want[n-1].lease.seq {
			return
		}
		want = append(want, h)
	}
	if len(want) < aheadLeast {
		return
	}
	first, last := want[0].lease.seq, want[len(want)-1].lease.seq
	if last-first >= uint64(aheadGaps*len(want)) {
		return
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	sn.scan(commonPrefix(eventKey(first), eventKey(last)), eventKey(first), func(key []byte, item *badger.Item) bool {
		seq := be.Uint64(key[1:])
		for len(want) > 0 && want[0].lease.seq < seq {
			want = want[1:]
		}
		if len(want) > 0 && want[0].lease.seq == seq {
			if e, err := sn.eventOf(item, seq); err == nil {
				want[0].take(&e.Event, e.deliveries, l.name)
			}
			want = want[1:]
		}
		return len(want) > 0
	})
}

func commonPrefix(a, b []byte) []byte {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// complete adds the event to a lease.
func (s *Store) complete(l *lane, h *handOut) (queue.Claimed, error) {
	held := h.lease
	d := held.record.delivery(held.seq, l.name)
	d.State = queue.StateDelivering
	if h.ev == nil {
		ev, news, err := s.event(held.seq)
		if err != nil {
			return queue.Claimed{}, err
		}
		h.take(ev, news, l.name)
	}
	if d.OrderKey == "" {
		d.OrderKey = h.orderKey
	}
	if held.record.place == inFIFO && h.wanted != 0 {
		d.Due = fromNanos(h.wanted)
	}
	return queue.Claimed{
		Lease:    queue.Lease{Event: queue.ID(held.seq), Destination: l.name, Token: held.token, Until: fromNanos(held.until)},
		Delivery: d,
		Event:    h.ev,
	}, nil
}

// event returns an event and the deliveries it came with, wherever it is.
func (s *Store) event(seq uint64) (*queue.Event, []queue.NewDelivery, error) {
	// In this order: what leaves the tail is in the snapshot that is published before.
	if ev, news, ok := s.tail.find(seq); ok {
		return ev, news, nil
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	e, err := sn.event(seq, true)
	if err != nil {
		return nil, nil, err
	}
	return &e.Event, e.deliveries, nil
}

// bury makes a delivery dead whose event cannot be read.
func (s *Store) bury(ctx context.Context, l *lane, held *lease, reason error) {
	s.damaged.Add(1)
	s.log.Error("event is damaged; its delivery is dead",
		zap.Stringer("event", queue.ID(held.seq)), zap.String("destination", l.name), zap.Error(reason))
	_, err := s.settle(ctx, &queue.Settlement{
		Lease: queue.Lease{Event: queue.ID(held.seq), Destination: l.name, Token: held.token},
		State: queue.StateDead,
		Attempt: &queue.Attempt{
			Trigger: queue.TriggerFirst, At: s.clock(), Class: "internal", Error: "the stored event is damaged: " + reason.Error(),
		},
	})
	if err != nil {
		s.log.Error("delivery of a damaged event was not settled", zap.Stringer("event", queue.ID(held.seq)), zap.Error(err))
	}
}
