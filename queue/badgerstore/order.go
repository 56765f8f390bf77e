package badgerstore

import (
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// orderKey is an order key of a destination with unsettled deliveries. The oldest of those that were met owns it, and the others are parked
// until it is settled. The owner goes on owning the key while it waits for a retry, unless it steps aside: from then on it waits
// only for a leased one of its key, and nobody waits for it. Deliveries that are still in the FIFO are met when their turn comes.
//
// The owner has a row as soon as others have to know of it after a restart: when it waits for a retry, or when somebody is parked.
type orderKey struct {
	owner  turn   // its seq is 0: nobody
	leased uint64 // the one that is leased, the owner or one that stepped aside; 0: none
	held   []entry
	row    bool   // the owner's row exists
	low    turn   // what the row says: nobody before this is parked
	parked []turn // the first of the parked, in order
	more   bool   // there may be others, from the turn `from` on, only on disk
	from   turn
	op     uint64 // last operation that wrote rows of the key
}

const (
	parkedWindow = 128
	keyWindow    = 1 << 16 // keys that are only waiting are left to the disk beyond this number
)

// key returns the state of an order key. The caller holds l.mu.
func (s *Store) key(l *lane, sn *snapshot, hash uint64) *orderKey {
	if k := l.keys[hash]; k != nil {
		return k
	}
	k := &orderKey{}
	if l.owners > 0 {
		err := sn.row(ownerKey(l.id, hash), func(value []byte) error {
			d := decoder{b: value}
			k.owner.seq, k.low.seq = d.fixed(), d.fixed()
			if len(d.b) > 0 {
				k.owner.at, k.low.at = d.int(), d.int()
			}
			k.row, k.more, k.from = true, true, k.low
			return nil
		})
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			// Who owns it is unknown, who is parked is not: the first one that comes owns it, and unlocks the others.
			s.log.Error("row of an order key is damaged", zap.String("destination", l.name), zap.Error(err))
			*k = orderKey{row: true, more: true}
		}
	}
	if len(l.keys) >= keyWindow {
		l.forgetWaitingKeys(s.applier.visible.Load())
	}
	l.keys[hash] = k
	return k
}

// forgetIdleKeys drops the keys that nobody owns any more, once the snapshot shows it.
func (l *lane) forgetIdleKeys(visible uint64) {
	l.idle = slices.DeleteFunc(l.idle, func(hash uint64) bool {
		k := l.keys[hash]
		if k == nil || k.owner.seq != 0 || k.leased != 0 {
			return true
		}
		if k.op <= visible {
			delete(l.keys, hash)
			return true
		}
		return false
	})
}

// forgetWaitingKeys drops the keys about which the disk says everything.
func (l *lane) forgetWaitingKeys(visible uint64) {
	for hash, k := range l.keys {
		if k.leased == 0 && k.row && k.op <= visible {
			delete(l.keys, hash)
		}
	}
}

// writeOwner writes the owner's row.
func (l *lane) writeOwner(o *op, k *orderKey, hash uint64) {
	e := encoder{b: make([]byte, 0, 40)}
	e.fixed(k.owner.seq)
	e.fixed(k.low.seq)
	if k.owner.at != 0 || k.low.at != 0 {
		e.int(k.owner.at)
		e.int(k.low.at)
	}
	o.put(ownerKey(l.id, hash), e.b)
	if !k.row {
		k.row = true
		o.count.owners++
	}
	o.keys = append(o.keys, k)
}

// admit decides whether a delivery that is due may be leased. If not, it is parked, or held until the leased one of its key is done.
func (s *Store) admit(l *lane, sn *snapshot, o *op, k *orderKey, e entry, r record) bool {
	if r.aside {
		if k.leased == 0 {
			return true
		}
		l.hold(k, e)
		return false
	}
	mine := r.turn(e.seq)
	if s.restoreOrder(l, sn, o, k, e.hash); k.owner != mine {
		if now, ok := l.recent[e.seq]; ok && now.record.place == inParked {
			return false // it was the owner
		}
	}
	if k.goesBefore(mine) {
		s.park(l, o, k, mine, e.hash, r)
		return false
	}
	s.own(l, sn, o, k, mine, e.hash, false)
	if k.leased != 0 {
		l.hold(k, e)
		return false
	}
	return true
}

// goesBefore reports whether the owner of the key is another one than this, and goes first.
func (k *orderKey) goesBefore(t turn) bool {
	return k.owner.seq != 0 && k.owner != t && (k.leased == k.owner.seq || k.owner.before(t))
}

// hold keeps an entry out of the schedule until the leased one of its key is done.
func (l *lane) hold(k *orderKey, e entry) {
	k.held = append(k.held, e)
	l.holding[k] = struct{}{}
}

// freed ends the lease of a key: who waited for it may be leased now. It reports whether there was anybody. The caller holds l.mu.
func (s *Store) freed(l *lane, k *orderKey, seq uint64) bool {
	if k.leased != seq {
		return false
	}
	k.leased = 0
	held := k.held
	k.held = nil
	delete(l.holding, k)
	for _, e := range held {
		l.schedule.put(e, s.horizon())
	}
	return len(held) > 0
}

// yield makes the owner of a key, whose lease has just ended, park behind an older delivery that was replayed meanwhile, if there is
// one. r is the owner's record. The caller holds l.mu.
func (s *Store) yield(l *lane, sn *snapshot, o *op, k *orderKey, hash uint64, r record, now int64) bool {
	owner := k.owner
	if len(k.parked) == 0 && k.more && k.from.before(owner) && k.ready(sn) {
		l.readParked(sn, k, hash)
	}
	if len(k.parked) == 0 || owner.before(k.parked[0]) || !s.promote(l, sn, o, k, hash, now) {
		return false
	}
	if owner.before(k.owner) { // who was before it is not there any more
		owner, k.owner = k.owner, owner
		if r, ok, err := l.state(sn, owner.seq); err == nil && ok {
			s.park(l, o, k, owner, hash, r)
		}
		l.writeOwner(o, k, hash)
		return false
	}
	o.forget(owner.seq)
	l.parkFromFIFO(owner.seq, r)
	s.park(l, o, k, owner, hash, r)
	return true
}

// restoreOrder makes the oldest of a key its owner. It is not after a restart, if the owner had been leased when an older one was replayed.
func (s *Store) restoreOrder(l *lane, sn *snapshot, o *op, k *orderKey, hash uint64) {
	if k.owner.seq == 0 || k.leased == k.owner.seq {
		return
	}
	r, ok := s.waitingRecord(l, sn, k.owner)
	if ok {
		s.yield(l, sn, o, k, hash, r, s.clock().UnixNano())
	}
}

// waitingRecord returns the record of a delivery that waits in the schedule or the FIFO; false if it is elsewhere.
func (s *Store) waitingRecord(l *lane, sn *snapshot, t turn) (record, bool) {
	r, ok, err := l.state(sn, t.seq)
	switch {
	case err != nil:
		return record{}, false
	case !ok && t.at != 0:
		return s.firstRecord(l, sn, t.seq)
	case !ok:
		return record{state: queue.StatePending}, true
	}
	return r, r.open() && r.place == inScheduled
}

// firstRecord returns the record of a delivery to which nothing has happened, from what its event says; false if that cannot be read.
func (s *Store) firstRecord(l *lane, sn *snapshot, seq uint64) (record, bool) {
	_, news, err := s.event(seq)
	if err != nil {
		return record{}, false
	}
	i := slices.IndexFunc(news, func(n queue.NewDelivery) bool { return n.Destination == l.name })
	if i < 0 {
		return record{}, false
	}
	return initial(news[i], s.enqueuedAt(sn, seq)), true
}

// parkFromFIFO takes a delivery out of the window on the FIFO before it is parked.
func (l *lane) parkFromFIFO(seq uint64, r record) {
	if r.place == inFIFO {
		l.withdraw(seq)
	}
}

// own makes a delivery the owner of its key, and the one before, if any, parked. The caller has checked that it may.
func (s *Store) own(l *lane, sn *snapshot, o *op, k *orderKey, t turn, hash uint64, durable bool) {
	before := k.owner
	k.owner = t
	if before.seq != 0 && before != t {
		if r, ok := s.waitingRecord(l, sn, before); ok {
			l.parkFromFIFO(before.seq, r)
			s.park(l, o, k, before, hash, r)
			durable = true
		}
	}
	if before != t && k.row || durable {
		l.writeOwner(o, k, hash)
	}
}

// park puts a delivery behind the owner of its key.
func (s *Store) park(l *lane, o *op, k *orderKey, t turn, hash uint64, r record) {
	after := r
	after.place, after.due = inParked, 0
	l.change(o, t.seq, hash, r, after)
	k.insert(t)
	if !k.row || t.before(k.low) {
		k.low = t
		l.writeOwner(o, k, hash)
	}
	o.keys = append(o.keys, k)
}

// insert adds a parked delivery to the window.
func (k *orderKey) insert(t turn) {
	if k.more && !t.before(k.from) {
		return
	}
	at, found := slices.BinarySearchFunc(k.parked, t, turn.compare)
	if found {
		return
	}
	k.parked = slices.Insert(k.parked, at, t)
	if len(k.parked) > parkedWindow {
		last := len(k.parked) - 1
		k.more, k.from = true, k.parked[last]
		k.parked = k.parked[:last]
	}
}

func (k *orderKey) drop(t turn) {
	if at, found := slices.BinarySearchFunc(k.parked, t, turn.compare); found {
		k.parked = slices.Delete(k.parked, at, at+1)
	}
}

// ready reports whether unlock can find out who is next; if not, the applier has to catch up first.
func (k *orderKey) ready(sn *snapshot) bool { return len(k.parked) > 0 || !k.more || k.op <= sn.op }
