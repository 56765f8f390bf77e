package badgerstore

import (
	"context"
	"fmt"

	"github.com/sluice-webhooks/sluice/queue"
)

// Replay implements [queue.Store].
func (s *Store) Replay(ctx context.Context, event queue.ID, destination string, orderKey string) error {
	return s.carryOut(ctx, "replay", event, destination, func(t *target) (*op, bool) { return s.replay(t, orderKey) })
}

// Cancel implements [queue.Store].
func (s *Store) Cancel(ctx context.Context, event queue.ID, destination string) error {
	if s.lanes.find(destination) == nil {
		return fmt.Errorf("cancel %s for %q: no unsettled delivery: %w", event, destination, queue.ErrNotFound)
	}
	return s.carryOut(ctx, "cancel", event, destination, s.cancel)
}

// carryOut decides about a delivery and returns when that is durable. what names it in errors.
func (s *Store) carryOut(ctx context.Context, what string, event queue.ID, destination string, fn func(*target) (*op, bool)) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("%s %s for %q: %w", what, event, destination, err)
	}
	defer s.leave()
	if err := s.disk.writable(); err != nil {
		return fmt.Errorf("%s %s for %q: %w", what, event, destination, err)
	}
	done, err := s.decide(ctx, event, destination, fn)
	if err != nil {
		return fmt.Errorf("%s %s for %q: %w", what, event, destination, err)
	}
	s.wakes.send(destination)
	if err := waitFor(ctx, done); err != nil {
		return fmt.Errorf("%s %s for %q: not known to be durable yet: %w", what, event, destination, err)
	}
	return nil
}

// replay puts a delivery back to pending, due at once.
func (s *Store) replay(t *target, orderKey string) (*op, bool) {
	l, before := t.l, t.record
	after := before
	if before.state == 0 {
		t.hash = hashOrder(orderKey)
		after.orderKey = orderKey
	}
	after.state, after.place, after.due, after.wanted = queue.StatePending, inScheduled, t.now, 0
	after.settledAt, after.firstTry, after.seriesTries, after.aside, after.replayed = 0, 0, 0, false, true
	o := &op{}
	if before.state == 0 {
		s.noteZone(o, zoneAdded, t.seq, l, &l.joined)
	}
	s.takeOut(t)
	if t.hash == 0 {
		l.change(o, t.seq, 0, before, after)
		return o, true
	}
	k, mine := s.key(l, t.sn, t.hash), after.turn(t.seq)
	k.drop(mine)
	s.freed(l, k, t.seq)
	delete(l.recalled, t.seq)
	if k.owner != mine {
		s.restoreOrder(l, t.sn, o, k, t.hash)
	}
	if k.goesBefore(mine) {
		// Its turn comes when the owner is done. It is written as scheduled first, because that is what park starts from.
		l.change(o, t.seq, t.hash, before, after)
		o.forget(t.seq)
		s.park(l, o, k, mine, t.hash, after)
		return o, true
	}
	l.change(o, t.seq, t.hash, before, after)
	s.own(l, t.sn, o, k, mine, t.hash, true)
	return o, true
}

// cancel settles a pending or leased delivery.
func (s *Store) cancel(t *target) (*op, bool) {
	l, before := t.l, t.record
	if before.state != queue.StatePending {
		return nil, true
	}
	after := before
	after.state, after.place, after.due, after.wanted, after.settledAt = queue.StateCancelled, nowhere, 0, 0, t.now
	o := &op{}
	if t.hash == 0 {
		s.takeOut(t)
		l.change(o, t.seq, 0, before, after)
		return o, true
	}
	k := s.key(l, t.sn, t.hash)
	if k.owner.seq == t.seq && !k.ready(t.sn) {
		return nil, false
	}
	if t.leased {
		l.recalled[t.seq] = l.leases[t.seq]
	}
	s.takeOut(t)
	k.drop(before.turn(t.seq))
	l.change(o, t.seq, t.hash, before, after)
	switch {
	case k.owner.seq == t.seq:
		s.unlock(l, t.sn, o, k, t.hash, t.now)
	case k.owner.seq == 0 && k.leased == 0:
		l.retire(t.sn, k, t.hash) // it was only looked up
	default:
		o.keys = append(o.keys, k)
	}
	return o, true
}

// isRecalled reports whether a lease is that of a cancelled delivery that keeps its order key taken.
func (l *lane) isRecalled(seq, token uint64) bool {
	held := l.recalled[seq]
	return held != nil && held.token == token
}

// letGo frees the order key of a cancelled delivery whose attempt has ended, if that is what the lease is of; then it returns true, and others may be due. The caller
// holds l.mu.
func (s *Store) letGo(l *lane, sn *snapshot, seq, token uint64) bool {
	if !l.isRecalled(seq, token) {
		return false
	}
	hash := l.recalled[seq].hash
	delete(l.recalled, seq)
	k := l.keys[hash] // is kept as long as it is taken
	if s.freed(l, k, seq); k.owner.seq == 0 {
		l.retire(sn, k, hash)
	}
	return true
}

// takeOut ends the delivery's lease, or takes it out of the FIFO's window. What is in the schedule is found to be out of date there.
func (s *Store) takeOut(t *target) {
	delete(t.l.lapsed, t.seq)
	if t.leased {
		delete(t.l.leases, t.seq)
		return
	}
	if t.record.state != 0 && t.record.place == inFIFO {
		t.l.withdraw(t.seq)
	}
}
