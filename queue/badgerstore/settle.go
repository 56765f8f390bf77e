package badgerstore

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/sluice-webhooks/sluice/queue"
)

// Settle implements [queue.Store]. It returns as soon as the outcomes are queued for the next transaction.
func (s *Store) Settle(ctx context.Context, settlements []queue.Settlement) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	defer s.leave()
	lost := make([]error, len(settlements))
	for i := range settlements {
		var err error
		if lost[i], err = s.settle(ctx, &settlements[i]); err != nil {
			// What was taken before stays taken: settling it again finds its lease lost.
			if i == 0 {
				return nil, fmt.Errorf("settle: %w", err)
			}
			lost[i] = fmt.Errorf("settle: %w", err)
		}
	}
	return lost, nil
}

// settle ends one lease. lost says why it was not this settlement that ended it; err, that the store could not find out.
func (s *Store) settle(ctx context.Context, n *queue.Settlement) (lost, err error) {
	if n.State != queue.StatePending && !n.State.Settled() {
		return fmt.Errorf("settle: a lease cannot end in the state %s", n.State), nil
	}
	l := s.lanes.find(n.Lease.Destination)
	for l != nil {
		done, lost := s.trySettle(l, n)
		if done {
			return lost, nil
		}
		// Who is next with the order key is not on disk yet. An outcome must not be lost, so it waits for room too.
		o := &op{done: make(chan error, 1), patient: true}
		s.applier.push(o)
		if err := waitFor(ctx, o.done); err != nil {
			return nil, err
		}
	}
	return leaseLost(n), nil
}

func leaseLost(n *queue.Settlement) error {
	return fmt.Errorf("settle %s for %q: %w", n.Lease.Event, n.Lease.Destination, queue.ErrLeaseLost)
}

// trySettle returns false if the applier has to catch up first.
func (s *Store) trySettle(l *lane, n *queue.Settlement) (done bool, lost error) {
	now := s.clock().UnixNano()
	s.noteTime(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := uint64(n.Lease.Event)
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	held := l.leases[seq]
	if held == nil {
		held = l.lapsedLease(sn, seq)
	}
	if held == nil || held.token != n.Lease.Token {
		if s.letGo(l, sn, seq, n.Lease.Token) {
			s.wakes.send(l.name)
		}
		return true, leaseLost(n)
	}
	if n.State == queue.StatePending && n.Attempt == nil && n.Due.IsZero() && !n.StepAside {
		if l.leases[seq] != nil {
			s.giveBack(l, sn, held, now)
		}
		delete(l.lapsed, seq)
		return true, nil
	}
	o := &op{}
	after := outcome(o, l, held, n, now)
	after.aside = (held.record.aside || n.StepAside) && !n.State.Settled()
	var k *orderKey
	if held.hash != 0 {
		if k = s.key(l, sn, held.hash); k.owner.seq == seq && (n.State.Settled() || after.aside) && !k.ready(sn) {
			return false, nil
		}
	}
	delete(l.leases, seq)
	delete(l.lapsed, seq)
	if k != nil {
		k.drop(held.record.turn(seq)) // it may have been parked after its lease ran out
	}
	l.change(o, seq, held.hash, held.record, after)
	wake := k != nil && s.pass(l, sn, o, k, held, after, now)
	s.commit(l, o)
	if wake {
		s.wakes.send(l.name)
	}
	return true, nil
}

// lapsedLease returns a lease that has run out, with the delivery's present record, which may have been moved since; nil if there is none.
func (l *lane) lapsedLease(sn *snapshot, seq uint64) *lease {
	held := l.lapsed[seq]
	if held == nil {
		return nil
	}
	if r, ok, err := l.state(sn, seq); err == nil && ok {
		held.record = r
	}
	return held
}

// pass lets go of an order key after a settlement, as far as its new record says so. It reports whether others may be due now.
func (s *Store) pass(l *lane, sn *snapshot, o *op, k *orderKey, held *lease, after record, now int64) bool {
	wake := s.freed(l, k, held.seq)
	switch {
	case k.owner.seq != held.seq: // it had stepped aside before
		if k.owner.seq == 0 {
			l.retire(sn, k, held.hash)
		}
		return wake || after.state.Settled()
	case after.state.Settled() || after.aside:
		s.unlock(l, sn, o, k, held.hash, now)
		return true // if nobody was parked, there may be others in the FIFO
	case s.yield(l, sn, o, k, held.hash, after, now):
		return true
	case !k.row:
		// Those that come later in the FIFO have to know after a restart that this one comes first.
		k.low = k.owner.next()
		l.writeOwner(o, k, held.hash)
	}
	return wake
}

// outcome is a delivery's record after a settlement.
func outcome(o *op, l *lane, held *lease, n *queue.Settlement, now int64) record {
	after := held.record
	after.state = n.State
	if n.Attempt != nil {
		after.recordAttempt(o, l, held.seq, n.Attempt, now)
	}
	if n.State.Settled() {
		after.place, after.due, after.wanted, after.settledAt = nowhere, 0, 0, now
		return after
	}
	after.place, after.wanted, after.due = inScheduled, nanos(n.Due), nanos(n.Due)
	if after.due == 0 {
		after.due = now
	}
	return after
}

// recordAttempt counts an attempt. The one before moves out of the delivery's row into a row of its own.
func (r *record) recordAttempt(o *op, l *lane, seq uint64, a *queue.Attempt, now int64) {
	if r.last != nil {
		e := encoder{b: make([]byte, 0, 64)}
		encodeAttempt(&e, r.last)
		o.put(attemptKey(seq, l.id, r.last.Number), e.b)
	}
	r.attempts++
	r.seriesTries++
	last := *a
	last.Number = r.attempts
	last.Error = clip(last.Error, maxError)
	last.Response = slices.Clone(last.Response[:min(len(last.Response), maxResponse)])
	r.last = &last
	if r.firstTry == 0 || fromFuture(r.firstTry, now) { // the time in which retries start would begin when a clock that was ahead is right
		r.firstTry = nanos(a.At)
	}
	r.lastStatus, r.lastError = a.Status, a.Class
}

// clip shortens a text without cutting a character in two.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// flush waits until everything that was decided before is durable and visible. It returns queue.ErrFull where nothing is written.
func (s *Store) flush(ctx context.Context) error { return waitFor(ctx, s.applier.flush()) }

func waitFor(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
