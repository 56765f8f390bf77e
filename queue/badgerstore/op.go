package badgerstore

import (
	"math"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// op is one change of the database: all of it is in one transaction. The decisions were made by whoever pushed it, under the lock
// of the lane; the applier only writes them down, in order.
type op struct {
	n     uint64 // position in the applier's queue; set by push
	group *group // events to store; then nothing else is set

	lane    *lane
	muts    []mut
	apart   bool     // the rows stand each for itself: they may be in several transactions, in their order, and the rest is in the last
	left    []uint64 // deliveries that leave the FIFO
	recents []uint64 // deliveries whose state is in lane.recent until this is visible
	entries []entry  // for the schedule, once n is known
	keys    []*orderKey

	marks     *marks // where the rows of the lane begin; everything before it in the queue is taken into account
	count     counts
	events    int64 // change of the number of stored events
	pruned    []prunedDelivery
	endBucket uint32 // of claims that are all gone; 0: none
	sealed    sealedBucket
	minDue    int64    // lowest row written to the schedule; 0: none
	minSeq    uint64   // lowest row written to the open table; 0: none
	ended     []uint64 // deliveries that are cancelled
	kept      kept     // rows that are right from here on

	done    chan error // gets the result once it is durable and visible; nil if nobody waits
	patient bool       // whoever waits also waits for room on the disk
	told    bool       // it got its result: the disk has no room; only the applier's
}

// mut sets a key, or deletes it if value is nil.
type mut struct{ key, value []byte }

// counts are a destination's counters, or changes of them.
type counts struct {
	pending, delivered, dead, cancelled, owners int64
}

// prunedDelivery is a delivery of an event that is pruned.
type prunedDelivery struct {
	lane *lane
	seq  uint64
	dead bool
}

func (c *counts) add(o counts) {
	c.pending += o.pending
	c.delivered += o.delivered
	c.dead += o.dead
	c.cancelled += o.cancelled
	c.owners += o.owners
}

// put writes a checksummed row.
func (o *op) put(key, value []byte) { o.muts = append(o.muts, mut{key, seal(key, value)}) }

func (o *op) del(key []byte) { o.muts = append(o.muts, mut{key: key}) }

// forget takes a delivery out of what goes to the schedule, because it is parked after all.
func (o *op) forget(seq uint64) {
	o.entries = slices.DeleteFunc(o.entries, func(e entry) bool { return e.seq == seq })
}

// open reports whether a record is one of the open table.
func (r *record) open() bool {
	return r.state == queue.StatePending && (r.place == inScheduled || r.place == inParked)
}

// change writes down that a delivery goes from one record to another; a zero state of before means that it did not exist.
// The caller holds l.mu.
func (l *lane) change(o *op, seq, hash uint64, before, after record) {
	if before.state != 0 {
		switch before.place {
		case inFIFO:
			o.left = append(o.left, seq)
		case inScheduled:
			o.del(scheduledKey(l.id, before.due, seq))
		case inParked:
			o.del(parkedKey(l.id, hash, before.turn(seq)))
		}
	}
	switch after.place {
	case inScheduled:
		e := entry{due: after.due, seq: seq, hash: hash, at: after.orderAt, place: inScheduled, once: after.wanted == 0}
		o.put(scheduledKey(l.id, after.due, seq), scheduledValue(e))
		if o.minDue == 0 || after.due < o.minDue {
			o.minDue = after.due
		}
		o.entries = append(o.entries, e)
	case inParked:
		o.put(parkedKey(l.id, hash, after.turn(seq)), nil)
	}
	switch was, is := before.open(), after.open(); {
	case is && !was:
		o.put(openKey(l.id, seq), nil)
		if o.minSeq == 0 || seq < o.minSeq {
			o.minSeq = seq
		}
		l.lowOpen = min(l.lowOpen, seq)
	case was && !is:
		o.del(openKey(l.id, seq))
	}
	if before.state == queue.StateDead && after.state != queue.StateDead {
		o.del(deadKey(seq, l.id))
	}
	if after.state == queue.StateDead && before.state != queue.StateDead {
		o.put(deadKey(seq, l.id), []byte(after.lastError))
	}
	if after.state == queue.StateCancelled && before.state != queue.StateCancelled {
		o.ended = append(o.ended, seq)
	}
	o.put(deliveryKey(seq, l.id), after.encode())
	l.recent[seq] = recent{after, math.MaxUint64} // until commit knows the number
	o.recents = append(o.recents, seq)
	o.count.add(transition(before.state, after.state))
}

// transition is what a change of state does to the counters.
func transition(before, after queue.State) (c counts) {
	if before == after {
		return c
	}
	switch before {
	case queue.StatePending:
		c.pending--
	case queue.StateDead:
		c.dead--
	}
	switch after {
	case queue.StatePending:
		c.pending++
	case queue.StateDelivered:
		c.delivered++
	case queue.StateDead:
		c.dead++
	case queue.StateCancelled:
		c.cancelled++
	}
	return c
}

// commit hands an operation to the applier. The caller holds l.mu, so that the operations of a lane are queued in the order in which
// they were decided.
func (s *Store) commit(l *lane, o *op) {
	o.lane = l
	for _, seq := range o.ended {
		s.noteZone(o, zoneCancelled, seq, l, &l.ended)
	}
	s.applier.push(o)
	for _, seq := range o.recents {
		r := l.recent[seq]
		r.op = o.n
		l.recent[seq] = r
	}
	for _, k := range o.keys {
		k.op = o.n
	}
	for _, e := range o.entries {
		e.op = o.n
		l.schedule.put(e, s.horizon())
	}
	l.pending.Add(o.count.pending)
	l.delivered += o.count.delivered
	l.dead += o.count.dead
	l.cancelled += o.count.cancelled
	l.owners += o.count.owners
}

// horizon is what the newest snapshot shows at least.
func (s *Store) horizon() horizon {
	return horizon{op: s.applier.visible.Load(), seq: s.applier.applied.Load()}
}
