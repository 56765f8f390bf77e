package badgerstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-webhooks/sluice/queue"
)

// target is the delivery that an operator means, as it is now.
type target struct {
	l      *lane
	sn     *snapshot
	seq    uint64
	hash   uint64
	record record // state 0: there is no such delivery yet
	leased bool
	now    int64
}

// decide finds a delivery and lets fn change it under its lane's lock. fn returns nil if there is nothing to change, and false if the
// applier has to catch up first.
func (s *Store) decide(ctx context.Context, event queue.ID, destination string, fn func(*target) (*op, bool)) (<-chan error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	_, news, err := s.event(uint64(event))
	if err != nil {
		return nil, err
	}
	l, err := s.lanes.get(destination, s.applier.appliedSeq()+1)
	if err != nil {
		return nil, err
	}
	// An event that is found in the tail is in its lanes when the one who puts it there is done.
	s.handing.Lock()
	s.handing.Unlock() //nolint:staticcheck // waiting is all
	for {
		o, ready, err := s.decideOnce(l, uint64(event), news, fn)
		if err != nil {
			return nil, err
		}
		if ready {
			return o.done, nil
		}
		if err := s.flush(ctx); err != nil {
			return nil, err
		}
	}
}

func (s *Store) decideOnce(l *lane, seq uint64, news []queue.NewDelivery, fn func(*target) (*op, bool)) (*op, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := s.target(l, seq, news)
	if t != nil {
		defer s.snaps.put(t.sn)
	}
	if err != nil {
		return nil, false, err
	}
	o, ready := fn(t)
	if !ready {
		return nil, false, nil
	}
	if o == nil {
		return nil, false, fmt.Errorf("no unsettled delivery: %w", queue.ErrNotFound)
	}
	o.done = make(chan error, 1)
	s.commit(l, o)
	return o, true, nil
}

// target reads the state of a delivery. The caller holds l.mu and gives the snapshot back.
func (s *Store) target(l *lane, seq uint64, news []queue.NewDelivery) (*target, error) {
	t := &target{l: l, sn: s.snaps.get(), seq: seq, now: s.clock().UnixNano()}
	var nd *queue.NewDelivery
	for i := range news {
		if news[i].Destination == l.name {
			nd = &news[i]
			t.hash = hashOrder(nd.OrderKey)
		}
	}
	r, ok, err := l.state(t.sn, seq)
	held := l.leases[seq]
	switch {
	case held != nil:
		t.record, t.leased = held.record, true // nothing is written about a lease
	case err != nil && !errors.Is(err, queue.ErrDamaged):
		return t, err
	case ok:
		t.record = r
	case nd != nil:
		t.record = initial(*nd, s.enqueuedAt(t.sn, seq))
	}
	if nd == nil && t.record.state != 0 {
		t.hash = hashOrder(t.record.orderKey)
	}
	return t, nil
}

// enqueuedAt returns when an event was enqueued, which decides where its deliveries began.
func (s *Store) enqueuedAt(sn *snapshot, seq uint64) int64 {
	if at, ok := s.tail.enqueued(seq); ok {
		return at
	}
	if e, err := sn.event(seq, false); err == nil {
		return e.enqueued
	}
	return 0
}
