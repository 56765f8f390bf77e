package badgerstore

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// maxClaimWork bounds how many deliveries one call looks at; most of those it does not lease are parked behind their order key.
const maxClaimWork = 4096

// claimWork is one call of Claim.
type claimWork struct {
	s      *Store
	l      *lane
	sn     *snapshot
	now    int64
	until  int64
	leased []handOut
}

// Claim implements [queue.Store].
func (s *Store) Claim(ctx context.Context, req queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("claim: %w", err)
	}
	if err := s.enter(); err != nil {
		return nil, time.Time{}, fmt.Errorf("claim: %w", err)
	}
	defer s.leave()
	l := s.lanes.find(req.Destination)
	if l == nil {
		return nil, time.Time{}, nil
	}
	if s.disk.stopped() {
		return nil, req.Now.Add(diskInterval), nil
	}
	leased, next := s.lease(l, req)
	s.readAhead(l, leased)
	claimed := make([]queue.Claimed, 0, len(leased))
	for i := range leased {
		c, err := s.complete(l, &leased[i])
		if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged) {
			s.bury(ctx, l, leased[i].lease, err)
			continue
		}
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("claim: %w", err)
		}
		claimed = append(claimed, c)
	}
	return claimed, next, nil
}

// lease picks due deliveries and leases them.
func (s *Store) lease(l *lane, req queue.ClaimRequest) ([]handOut, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sn := s.snaps.get() // under the lock: what it does not show is in l.recent
	defer s.snaps.put(sn)
	w := &claimWork{s: s, l: l, sn: sn, now: nanos(req.Now), until: nanos(req.Now.Add(req.Lease))}
	l.drainTimed(s.horizon())
	w.takeBackExpired()
	for looked := 0; len(w.leased) < req.Limit && looked < maxClaimWork; looked++ {
		if !w.one() {
			return w.leased, fromNanos(w.next())
		}
	}
	return w.leased, fromNanos(w.next())
}

// takeBackExpired puts deliveries back whose lease has run out.
func (w *claimWork) takeBackExpired() {
	l := w.l
	for len(l.expiry) > 0 {
		e := l.expiry[0]
		held := l.leases[e.seq]
		current := held != nil && held.token == e.token
		if e.until > w.now && (current || l.isRecalled(e.seq, e.token)) {
			return
		}
		heap.Pop(&l.expiry)
		w.s.letGo(l, w.sn, e.seq, e.token)
		if current {
			w.s.giveBack(l, w.sn, held, held.since)
			l.lapsed[held.seq] = held
		}
	}
}

// giveBack ends a lease without any change to the delivery.
func (s *Store) giveBack(l *lane, sn *snapshot, held *lease, since int64) {
	delete(l.leases, held.seq)
	if k := l.keys[held.hash]; held.hash != 0 && k != nil {
		s.freed(l, k, held.seq)
		o := &op{}
		if k.owner.seq == held.seq && s.yield(l, sn, o, k, held.hash, held.record, s.clock().UnixNano()) {
			s.commit(l, o)
			return
		}
		if len(o.muts) > 0 {
			s.commit(l, o)
		}
	}
	e := entry{due: since, seq: held.seq, hash: held.hash, at: held.record.orderAt, place: inFIFO, once: true}
	if held.record.place == inScheduled {
		e.due, e.place, e.once = held.record.due, inScheduled, true
	}
	l.schedule.put(e, s.horizon())
}

// one takes the delivery whose turn it is and leases it, or puts it where it has to wait. It returns false if none is due.
func (w *claimWork) one() bool {
	l := w.l
	f, haveFIFO := w.peekFIFO()
	e, haveEntry := l.schedule.top(w.sn, l.id)
	haveEntry = haveEntry && (e.due <= w.now || e.once)
	switch {
	case haveEntry && (!haveFIFO || e.due < f.since || e.due == f.since && e.seq < f.seq):
		w.fromSchedule(l.schedule.pop())
	case haveFIFO:
		w.takeFIFO()
		w.fromFIFO(f)
	default:
		return false
	}
	return true
}

// fromFIFO leases a delivery to which nothing has happened yet.
func (w *claimWork) fromFIFO(f fresh) {
	r := record{state: queue.StatePending, wanted: f.at}
	if f.hash == 0 {
		w.grant(f.seq, 0, f.since, r, f)
		return
	}
	k := w.s.key(w.l, w.sn, f.hash)
	o := &op{}
	if f.at > w.now {
		w.postpone(o, k, f, r)
	} else if w.s.admit(w.l, w.sn, o, k, entry{due: f.since, seq: f.seq, hash: f.hash, once: true}, r) {
		w.grant(f.seq, f.hash, f.since, r, f)
	}
	if len(o.muts) > 0 || len(o.keys) > 0 {
		w.s.commit(w.l, o)
	}
}

// postpone takes a delivery with an order key out of the FIFO that has to wait for a moment. It keeps the others of its key waiting.
func (w *claimWork) postpone(o *op, k *orderKey, f fresh, r record) {
	w.s.restoreOrder(w.l, w.sn, o, k, f.hash)
	mine := r.turn(f.seq)
	if k.goesBefore(mine) {
		w.s.park(w.l, o, k, mine, f.hash, r)
		return
	}
	after := r
	after.place, after.due = inScheduled, f.at
	w.l.change(o, f.seq, f.hash, r, after)
	w.s.own(w.l, w.sn, o, k, mine, f.hash, true)
}

// fromSchedule leases a delivery of the schedule, unless the entry is out of date.
func (w *claimWork) fromSchedule(e entry) {
	r, ok := w.valid(e)
	if !ok {
		return
	}
	if e.hash == 0 {
		w.grant(e.seq, 0, e.due, r, fresh{})
		return
	}
	k := w.s.key(w.l, w.sn, e.hash)
	o := &op{}
	if w.s.admit(w.l, w.sn, o, k, e, r) {
		w.grant(e.seq, e.hash, e.due, r, fresh{})
	}
	if len(o.muts) > 0 || len(o.keys) > 0 {
		w.s.commit(w.l, o)
	}
}

// valid returns the record of a delivery of the schedule; false if the entry is out of date.
func (w *claimWork) valid(e entry) (record, bool) {
	if w.l.leases[e.seq] != nil {
		return record{}, false
	}
	r, ok, err := w.l.state(w.sn, e.seq)
	switch {
	case err != nil:
		w.s.log.Error("row of a delivery is damaged; it is delivered as if nothing had happened to it yet",
			zap.Stringer("event", queue.ID(e.seq)), zap.String("destination", w.l.name), zap.Error(err))
		return record{state: queue.StatePending, place: e.place, due: e.due, orderAt: e.at}, true
	case ok:
		return r, r.state == queue.StatePending && r.place == e.place && (r.place != inScheduled || r.due == e.due)
	case !w.exists(e):
		return record{}, false
	}
	r = record{state: queue.StatePending, place: e.place, orderAt: e.at}
	if e.place == inScheduled {
		r.due, r.wanted = e.due, e.due
	}
	return r, true
}

// earliest returns the earliest entry of the schedule that is not out of date.
func (w *claimWork) earliest() (entry, bool) {
	for {
		e, ok := w.l.schedule.top(w.sn, w.l.id)
		if !ok {
			return entry{}, false
		}
		if _, valid := w.valid(e); valid {
			return e, true
		}
		w.l.schedule.pop()
	}
}

// exists reports whether a delivery to which nothing has happened is still there: its event may have been pruned since the entry was made,
// and then there is no record of it either.
func (w *claimWork) exists(e entry) bool {
	if e.seq > w.sn.seq {
		return true
	}
	if e.place == inScheduled {
		err := w.sn.read(scheduledKey(w.l.id, e.due, e.seq), func([]byte) error { return nil })
		return !errors.Is(err, queue.ErrNotFound)
	}
	there := false
	err := w.sn.row(fifoKey(w.l.id, blockOf(e.seq)), func(value []byte) error {
		b, err := decodeBlock(value)
		there = err != nil || b.present&bitOf(e.seq) != 0
		return err
	})
	return there || errors.Is(err, queue.ErrDamaged)
}

// grant leases a delivery.
func (w *claimWork) grant(seq, hash uint64, since int64, r record, f fresh) {
	held := &lease{seq: seq, hash: hash, token: w.s.tokens.Add(1), until: w.until, since: since, record: r}
	w.l.leases[seq] = held
	delete(w.l.lapsed, seq)
	if hash != 0 {
		w.l.keys[hash].leased = seq
	}
	heap.Push(&w.l.expiry, expiring{held.until, seq, held.token})
	w.leased = append(w.leased, handOut{lease: held, ev: f.ev, orderKey: f.orderKey, wanted: f.wanted})
}
