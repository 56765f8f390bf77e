package badgerstore

import (
	"context"

	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

// handOut is a leased delivery and what is known of its event.
type handOut struct {
	lease    *lease
	ev       *queue.Event
	orderKey string
	wanted   int64
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
		h.ev = ev
		for i := range news {
			if news[i].Destination == l.name {
				h.orderKey, h.wanted = news[i].OrderKey, nanos(news[i].NotBefore)
			}
		}
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
