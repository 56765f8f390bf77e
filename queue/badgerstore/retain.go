package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	pruneStep  = 256     // events that are looked at between two waits for the applier
	pruneCall  = 100_000 // events one call of Maintain looks at, at most
	strageCall = 4096    // stragglers one call looks at
	deleteStep = 4096    // rows that stand for themselves and are deleted between two waits
)

// stragglerHand is where the pruner goes on.
type stragglerHand struct {
	next      uint64 // event; everything before it is pruned or a straggler
	loaded    bool
	straggler uint64
	dead      uint64
	zone      uint64
}

// Maintain implements [queue.Maintainer].
func (s *Store) Maintain(ctx context.Context, now time.Time, r queue.Retention) (pruned int, err error) {
	if err := s.enter(); err != nil {
		return 0, fmt.Errorf("maintain: %w", err)
	}
	defer s.leave()
	s.maintaining.Lock()
	defer s.maintaining.Unlock()
	if s.disk.stopped() {
		return 0, nil
	}
	if err := s.flush(ctx); err != nil {
		return 0, fmt.Errorf("maintain: %w", err)
	}
	if err := s.mindClock(ctx); err != nil {
		return 0, fmt.Errorf("maintain: schedule after a change of the clock: %w", err)
	}
	if err := s.loadPruner(); err != nil {
		return 0, fmt.Errorf("maintain: %w", err)
	}
	if s.disk.low() {
		r.Delivered = 1 // room is worth more than history
	}
	for _, pass := range []func(context.Context, time.Time, queue.Retention) (int, error){s.pruneOld, s.pruneStragglers, s.pruneDead} {
		n, err := pass(ctx, now, r)
		pruned += n
		if err != nil {
			return pruned, fmt.Errorf("maintain: %w", err)
		}
	}
	if err := s.dropZones(ctx); err != nil {
		return pruned, fmt.Errorf("maintain: %w", err)
	}
	if err := s.dropClaims(ctx, now); err != nil {
		return pruned, fmt.Errorf("maintain: %w", err)
	}
	if err := s.saveFilters(false); err != nil {
		return pruned, fmt.Errorf("maintain: %w", err)
	}
	if err := s.sweepMeta(ctx); err != nil {
		return pruned, fmt.Errorf("maintain: %w", err)
	}
	if err := s.scrub(ctx); err != nil {
		return pruned, fmt.Errorf("maintain: read tables: %w", err)
	}
	if err := s.collect(ctx, pruned); err != nil {
		return pruned, fmt.Errorf("maintain: %w", err)
	}
	return pruned, nil
}

// verdict is what the pruner thinks of an event.
type verdict uint8

const (
	tooYoung verdict = iota // and so are all after it
	ahead                   // it seems to come from the future, because the clock was ahead; that says nothing of those after it
	keep
	expired
	gone // it was pruned; some of its rows may be left
)

// examined is an event the pruner has looked at.
type examined struct {
	seq      uint64
	verdict  verdict
	records  []laneRecord
	attempts bool  // it has rows in the attempt table
	size     int64 // of its record, about
}

// recordRest is about what a record has beside the body.
const recordRest = 512

type laneRecord struct {
	l *lane
	r record
}

// examine decides about an event. Its age counts from its arrival or, if that was later, from when its last delivery was settled.
func (s *Store) examine(sn *snapshot, seq uint64, now time.Time, r queue.Retention) (examined, error) {
	x := examined{seq: seq, verdict: keep}
	e, err := sn.event(seq, false)
	if errors.Is(err, queue.ErrNotFound) {
		return s.remains(sn, seq, now, r)
	}
	if err != nil && !errors.Is(err, queue.ErrDamaged) {
		return x, err
	}
	keepFor, since, open := r.Delivered, int64(0), e == nil
	if e != nil {
		since = happened(nanos(e.ReceivedAt), now)
		x.size = int64(e.size) + recordRest
		open = len(e.deliveries) > 0
		switch {
		case r.Delivered <= 0:
		case fromFuture(nanos(e.ReceivedAt), nanos(now)):
			x.verdict = ahead
		case now.Sub(e.ReceivedAt) <= r.Delivered:
			x.verdict = tooYoung
		}
	}
	err = s.records(sn, seq, func(l *lane, rec record) { x.records = append(x.records, laneRecord{l, rec}) })
	if err != nil && !errors.Is(err, queue.ErrDamaged) {
		return x, err
	}
	settled := 0
	for _, lr := range x.records {
		if !lr.r.state.Settled() || lr.l.changing(seq) {
			return x, nil
		}
		if e != nil {
			if _, had := e.delivery(lr.l.name); had {
				settled++
			}
		}
		if lr.r.state == queue.StateDead {
			keepFor = r.Dead
		}
		since = max(since, happened(lr.r.settledAt, now))
		x.attempts = x.attempts || lr.r.attempts > 1
	}
	if e != nil && settled < len(e.deliveries) || open && len(x.records) == 0 || keepFor <= 0 {
		return x, nil
	}
	if now.Sub(fromNanos(since)) > keepFor {
		x.verdict = expired
	}
	return x, nil
}

// remains looks at what is left of an event that was pruned. One that has no tombstone is lost: what became of its deliveries stays for its time.
func (s *Store) remains(sn *snapshot, seq uint64, now time.Time, r queue.Retention) (examined, error) {
	x := examined{seq: seq, verdict: gone}
	keepFor, since := r.Delivered, int64(0)
	err := s.records(sn, seq, func(l *lane, rec record) {
		x.records = append(x.records, laneRecord{l, rec})
		since = max(since, happened(rec.settledAt, now))
		if rec.state == queue.StateDead {
			keepFor = r.Dead
		}
	})
	if errors.Is(err, queue.ErrDamaged) || slices.ContainsFunc(x.records, func(lr laneRecord) bool { return !lr.r.state.Settled() }) {
		return examined{seq: seq, verdict: gone}, nil // it was not the pruner who left that
	}
	x.attempts = len(x.records) > 0
	if x.attempts && !sn.buried(seq) && (keepFor <= 0 || now.Sub(fromNanos(since)) <= keepFor) {
		x.verdict = keep
	}
	return x, err
}

// changing reports whether something about a delivery is decided and not visible yet.
func (l *lane) changing(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.recent[seq]
	return ok
}
