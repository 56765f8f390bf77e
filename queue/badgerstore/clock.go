package badgerstore

import (
	"context"
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// A clock that was ahead for a while has written times that come much later. Nothing may wait for them: pruning and dedup recognise them where they meet them, and
// what is scheduled is looked through once the clock is known to have gone back.

// fromFuture reports whether something has a time that a clock gave which was ahead. What came since now was read is none of that.
func fromFuture(at, now int64) bool { return at > now+clockSlack }

// happened returns when something happened: what seems to come from the future a second ago, so that it is young, and old enough where room is short.
func happened(at int64, now time.Time) int64 {
	if fromFuture(at, nanos(now)) {
		return nanos(now.Add(-time.Second))
	}
	return at
}

// noteTime notes what the clock said when something was decided that may wait for a moment.
func (s *Store) noteTime(now int64) {
	for latest := s.latest.Load(); now > latest && !s.latest.CompareAndSwap(latest, now); {
		latest = s.latest.Load()
	}
}

// clockStep is how many scheduled deliveries are looked at between two waits for the applier.
const clockStep = 1024

// mindClock schedules deliveries anew if the clock has gone back: those whose moment was set by the clock as it was before wait from now on for as long as they were to wait then.
func (s *Store) mindClock(ctx context.Context) error {
	latest, now := s.latest.Load(), s.clock().UnixNano()
	if !fromFuture(latest, now) {
		return nil
	}
	moved := 0
	for _, l := range s.lanes.all() {
		n, err := s.mindLane(ctx, l, now)
		moved += n
		if n > 0 {
			s.wakes.send(l.name)
		}
		if err != nil {
			return err
		}
	}
	s.latest.CompareAndSwap(latest, now)
	s.log.Warn("the clock has gone back; deliveries that would have waited for as long as it was ahead were scheduled anew",
		zap.Duration("back", time.Duration(latest-now)), zap.Int("deliveries", moved))
	return nil
}

// mindLane goes through what a destination has scheduled for later than now, and returns how much of it was moved.
func (s *Store) mindLane(ctx context.Context, l *lane, now int64) (moved int, err error) {
	for from := scheduledKey(l.id, now, 0); from != nil; {
		if err := ctx.Err(); err != nil {
			return moved, err
		}
		var late []uint64
		late, from = s.scheduledAhead(l, from, now)
		for _, seq := range late {
			switch _, err := s.decide(ctx, queue.ID(seq), l.name, s.reschedule); {
			case err == nil:
				moved++
			case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrDamaged): // whoever claims it sees to it
			default:
				return moved, err
			}
		}
		if err := s.flush(ctx); err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// scheduledAhead looks at the next rows of the schedule. It returns those events whose moment was set by a clock that was ahead, and the key to go on from; nil at the end.
func (s *Store) scheduledAhead(l *lane, from []byte, now int64) (late []uint64, next []byte) {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	looked := 0
	sn.scan(destTable(tabScheduled, l.id, 0), from, func(key []byte, item *badger.Item) bool {
		if looked++; looked > clockStep {
			next = append([]byte(nil), key...)
			return false
		}
		e, ok := decodeScheduled(key, item)
		if !ok || e.once {
			return true
		}
		if r, _, err := sn.record(e.seq, l.id); err == nil && fromFuture(s.setAt(sn, e.seq, &r), now) {
			late = append(late, e.seq)
		}
		return true
	})
	return late, next
}

// setAt is when the moment was set for which a delivery waits: at the end of its last attempt, or when its event came.
func (s *Store) setAt(sn *snapshot, seq uint64, r *record) int64 {
	if r.last != nil {
		return nanos(r.last.At.Add(r.last.Duration))
	}
	return s.enqueuedAt(sn, seq)
}

// reschedule moves a delivery that waits for a moment which a clock has set that was ahead.
func (s *Store) reschedule(t *target) (*op, bool) {
	before := t.record
	set := s.setAt(t.sn, t.seq, &before)
	if t.leased || before.state != queue.StatePending || before.place != inScheduled || !fromFuture(set, t.now) || fromFuture(set, before.due) { // that was moved before
		return nil, true
	}
	after := before
	after.due = t.now + max(0, before.due-set)
	if before.wanted != 0 {
		after.wanted = after.due
	}
	o := &op{}
	t.l.change(o, t.seq, t.hash, before, after)
	return o, true
}
