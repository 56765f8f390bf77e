package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
)

// pruneOld goes on from where it was, in order of arrival. What it cannot prune yet becomes a straggler, so that it never comes back here.
func (s *Store) pruneOld(ctx context.Context, now time.Time, r queue.Retention) (pruned int, err error) {
	if r.Delivered <= 0 {
		return 0, nil
	}
	for looked := 0; looked < pruneCall; looked += pruneStep {
		next := s.hand.next
		n, more, err := s.pruneSome(ctx, now, r, func(sn *snapshot, visit func(uint64) bool) {
			sn.scan([]byte{tabEvent}, eventKey(next), func(key []byte, _ *badger.Item) bool { return visit(be.Uint64(key[1:])) })
		}, true)
		pruned += n
		if err != nil || !more {
			return pruned, err
		}
	}
	return pruned, nil
}

// pruneSome looks at up to pruneStep of the events that list visits, and prunes those that are history. advance says that they come in the pruner's
// order. It reports whether there may be more.
func (s *Store) pruneSome(ctx context.Context, now time.Time, r queue.Retention, list func(*snapshot, func(uint64) bool), advance bool) (pruned int, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	s.pruning.Lock()
	defer s.pruning.Unlock()
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	var seqs []uint64
	list(sn, func(seq uint64) bool {
		if len(seqs) == 0 || seqs[len(seqs)-1] != seq {
			seqs = append(seqs, seq)
		}
		return len(seqs) < pruneStep
	})
	more = len(seqs) == pruneStep
	o := &op{done: make(chan error, 1)}
	for _, seq := range seqs {
		x, err := s.examine(sn, seq, now, r)
		missing := errors.Is(err, queue.ErrNotFound)
		if err != nil && !missing {
			return 0, false, err
		}
		if advance && !missing && x.verdict == tooYoung {
			more = false
			break
		}
		if advance && x.verdict == ahead {
			more = false // a few at a time: it may be this clock that is wrong
		}
		if advance {
			s.hand.next = seq + 1
		}
		switch {
		case missing:
			o.del(stragglerKey(seq))
			if seq < s.hand.next {
				o.del(eventKey(seq))
			}
		case x.verdict == expired:
			s.remove(sn, o, &x)
			s.garbage += x.size
			if !advance {
				o.del(stragglerKey(seq))
			}
			pruned++
		case advance:
			o.put(stragglerKey(seq), nil)
		}
	}
	if len(o.muts) == 0 {
		return 0, more, nil
	}
	if advance {
		e := encoder{}
		e.fixed(s.hand.next)
		e.int(s.garbage)
		o.put(keyPruner, e.b)
	}
	for _, p := range o.pruned {
		if p.dead {
			p.lane.mu.Lock()
			p.lane.dead--
			p.lane.mu.Unlock()
		}
	}
	s.applier.push(o)
	// Waited for whatever happens to ctx: a replay must not find what is on its way out.
	return pruned, more, <-o.done
}

func (s *Store) loadPruner() error {
	if s.hand.loaded {
		return nil
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	err := sn.row(keyPruner, func(value []byte) error {
		d := decoder{b: value}
		s.hand.next = d.fixed()
		if len(d.b) > 0 { // stores of the first versions have no such field
			s.garbage += d.int()
		}
		return nil
	})
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("where pruning goes on: %w", err)
	}
	s.hand.loaded = true
	return nil
}

// pruneStragglers looks at some of the events that could not be pruned when their time had come.
func (s *Store) pruneStragglers(ctx context.Context, now time.Time, r queue.Retention) (int, error) {
	return s.pruneRound(ctx, now, r, tabStraggler, &s.hand.straggler)
}

// pruneDead looks at some of the dead letters.
func (s *Store) pruneDead(ctx context.Context, now time.Time, r queue.Retention) (int, error) {
	if r.Dead <= 0 {
		return 0, nil
	}
	return s.pruneRound(ctx, now, r, tabDead, &s.hand.dead)
}

// pruneRound goes on in a table of events, and at its end from its beginning.
func (s *Store) pruneRound(ctx context.Context, now time.Time, r queue.Retention, table byte, at *uint64) (pruned int, err error) {
	for looked := 0; looked < strageCall; looked += pruneStep {
		from := *at
		last := from
		n, more, err := s.pruneSome(ctx, now, r, func(sn *snapshot, visit func(uint64) bool) {
			sn.scan([]byte{table}, key8(table, from), func(key []byte, _ *badger.Item) bool {
				last = be.Uint64(key[1:])
				return visit(last)
			})
		}, false)
		pruned += n
		if err != nil {
			return pruned, err
		}
		if *at = last + 1; !more {
			*at = 0
			return pruned, nil
		}
	}
	return pruned, nil
}
