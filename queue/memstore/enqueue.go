package memstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Enqueue implements [queue.Store].
func (s *Store) Enqueue(ctx context.Context, events []queue.NewEvent) ([]queue.Receipt, error) {
	if err := s.enter(ctx, "enqueue"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for i := range events {
		if err := checkDestinations(events[i].Deliveries); err != nil {
			return nil, fmt.Errorf("enqueue: event %d: %w", i, err)
		}
	}
	now := s.clock()
	s.claims.expire(now)
	receipts := make([]queue.Receipt, len(events))
	for i := range events {
		receipts[i] = s.enqueue(&events[i], now)
	}
	return receipts, nil
}

// checkDestinations refuses what would give an event two deliveries of the same identity.
func checkDestinations(deliveries []queue.NewDelivery) error {
	for i, d := range deliveries {
		for _, before := range deliveries[:i] {
			if before.Destination == d.Destination {
				return fmt.Errorf("two deliveries to destination %q", d.Destination)
			}
		}
	}
	return nil
}

func (s *Store) enqueue(n *queue.NewEvent, now time.Time) queue.Receipt {
	key := claimKey{n.Source, n.DedupKey}
	dedup := n.DedupKey != "" && n.DedupWindow > 0
	if dedup {
		if original, ok := s.claims.byKey[key]; ok {
			return queue.Receipt{ID: original, Duplicate: true}
		}
	}
	s.lastID++
	ev := n.Event
	ev.ID = s.lastID
	e := &event{Event: &ev}
	s.events = append(s.events, e)
	s.byID[ev.ID] = e
	s.bytes += int64(len(ev.Body))
	if dedup {
		s.claims.add(claim{claimKey: key, event: ev.ID, until: now.Add(n.DedupWindow)})
	}
	source := s.sources[ev.Source]
	source.Accepted++
	source.LastEvent = ev.ReceivedAt
	s.sources[ev.Source] = source
	for _, nd := range n.Deliveries {
		s.addDelivery(e, nd, now)
	}
	return queue.Receipt{ID: ev.ID}
}

// addDelivery makes a pending delivery and wakes its destination.
func (s *Store) addDelivery(e *event, n queue.NewDelivery, now time.Time) *delivery {
	if n.OrderKey == "" {
		n.OrderAt = time.Time{}
	}
	d := &delivery{
		Delivery: queue.Delivery{
			Event:       e.ID,
			Destination: n.Destination,
			State:       queue.StatePending,
			OrderKey:    n.OrderKey,
			OrderAt:     n.OrderAt,
			Due:         n.NotBefore,
		},
		event: e,
		since: now,
	}
	at, _ := slices.BinarySearchFunc(e.deliveries, n.Destination, func(d *delivery, name string) int {
		return strings.Compare(d.Destination, name)
	})
	e.deliveries = slices.Insert(e.deliveries, at, d)
	s.lane(n.Destination).begin(d)
	s.wake(n.Destination)
	return d
}
