package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	var ops []*op
	for _, seq := range seqs {
		x, failed := s.examine(sn, seq, now, r)
		if err = failed; err != nil {
			break
		}
		if advance && x.verdict == tooYoung {
			more = false
			break
		}
		if advance && x.verdict == ahead {
			more = false // a few at a time: it may be this clock that is wrong
		}
		ops = append(ops, s.pruneOne(sn, &x, advance)...)
		if x.verdict == expired {
			pruned++
		}
	}
	for _, o := range ops {
		for _, p := range o.pruned {
			if p.dead {
				p.lane.mu.Lock()
				p.lane.dead--
				p.lane.mu.Unlock()
			}
		}
	}
	// Waited for whatever happens to ctx: a replay must not find what is on its way out.
	if failed := s.applier.pushAll(ops); failed != nil {
		return 0, false, failed
	}
	return pruned, more && err == nil, err
}

// pruneOne returns what becomes of an event that was examined: operations that need not be in one transaction, because a crash after any of them leaves what
// can be gone on from.
func (s *Store) pruneOne(sn *snapshot, x *examined, advance bool) []*op {
	if advance {
		s.hand.next = x.seq + 1
	}
	o := &op{}
	ops := []*op{o}
	switch {
	case x.verdict == expired || x.verdict == gone:
		ops = s.remove(sn, o, x)
	case advance:
		o.put(stragglerKey(x.seq), nil)
	default:
		return nil
	}
	if advance {
		e := encoder{}
		e.fixed(s.hand.next)
		e.int(s.garbage)
		o.put(keyPruner, e.b)
	}
	return ops
}

// remove writes the deletion of an event, or of what is left of one, into an operation, and returns it with those before and after it.
//
// Attempts go first. An event with more deliveries than a transaction takes is hidden, and stays a straggler until they are all deleted.
func (s *Store) remove(sn *snapshot, o *op, x *examined) (ops []*op) {
	s.garbage += x.size
	if x.attempts {
		attempts := &op{apart: true}
		prefix := seqTable(tabAttempt, x.seq, 0)
		sn.scan(prefix, prefix, func(key []byte, _ *badger.Item) bool {
			attempts.del(append([]byte(nil), key...))
			return true
		})
		ops = append(ops, attempts)
	}
	ops = append(ops, o)
	end, step := o, s.removable()
	if x.verdict == expired {
		o.events--
	}
	if len(x.records) > step {
		o.bury(eventKey(x.seq))
		o.put(stragglerKey(x.seq), nil)
		for some := range slices.Chunk(x.records, step) {
			end = &op{}
			end.removeDeliveries(x.seq, some)
			ops = append(ops, end)
		}
	} else {
		o.removeDeliveries(x.seq, x.records)
	}
	end.del(stragglerKey(x.seq))
	switch {
	case x.seq < s.hand.next:
		end.del(eventKey(x.seq))
	case x.verdict == expired:
		end.bury(eventKey(x.seq))
	}
	return ops
}

func (o *op) removeDeliveries(seq uint64, records []laneRecord) {
	for _, lr := range records {
		o.del(deliveryKey(seq, lr.l.id))
		dead := lr.r.state == queue.StateDead
		if dead {
			o.del(deadKey(seq, lr.l.id))
		}
		o.pruned = append(o.pruned, prunedDelivery{lr.l, seq, dead})
	}
}

// removable is how many deliveries can surely be deleted in one transaction, with what else there is about their event.
func (s *Store) removable() int {
	each := smallRows(2)
	each.add(rowOf(laneRowMost + maxName))
	each.add(rowOf(blockRowMost + blockKeyMost<<blockBits))
	most := s.roomy()
	return min(most.rows/each.rows, most.bytes/each.bytes) - 1
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
