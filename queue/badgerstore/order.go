package badgerstore

import (
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

// orderKey is an order key of a destination with unsettled deliveries. The oldest of those that were met owns it, and the others are parked
// until it is settled. The owner goes on owning the key while it waits for a retry, unless it steps aside: from then on it waits
// only for a leased one of its key, and nobody waits for it. Deliveries that are still in the FIFO are met when their turn comes.
//
// The owner has a row as soon as others have to know of it after a restart: when it waits for a retry, or when somebody is parked.
type orderKey struct {
	owner  uint64 // 0: nobody
	leased uint64 // the one that is leased, the owner or one that stepped aside; 0: none
	held   []entry
	row    bool     // the owner's row exists
	low    uint64   // what the row says: nobody below this is parked
	parked []uint64 // the smallest of the parked, in order
	more   bool     // there may be others, from the delivery `from` on, only on disk
	from   uint64
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
			k.owner, k.low = d.fixed(), d.fixed()
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
		if k == nil || k.owner != 0 || k.leased != 0 {
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
	e := encoder{b: make([]byte, 0, 20)}
	e.fixed(k.owner)
	e.fixed(k.low)
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
	if s.restoreOrder(l, sn, o, k, e.hash); k.owner != e.seq {
		if now, ok := l.recent[e.seq]; ok && now.record.place == inParked {
			return false // it was the owner
		}
	}
	if k.owner != 0 && k.owner != e.seq && (k.leased == k.owner || e.seq > k.owner) {
		s.park(l, o, k, e.seq, e.hash, r)
		return false
	}
	s.own(l, sn, o, k, e.seq, e.hash, false)
	if k.leased != 0 {
		l.hold(k, e)
		return false
	}
	return true
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
	if len(k.parked) == 0 && k.more && k.from < owner && k.ready(sn) {
		l.readParked(sn, k, hash)
	}
	if len(k.parked) == 0 || k.parked[0] > owner || !s.promote(l, sn, o, k, hash, now) {
		return false
	}
	if k.owner > owner { // who was older is not there any more
		owner, k.owner = k.owner, owner
		if r, ok, err := l.state(sn, owner); err == nil && ok {
			s.park(l, o, k, owner, hash, r)
		}
		l.writeOwner(o, k, hash)
		return false
	}
	o.forget(owner)
	l.parkFromFIFO(owner, r)
	s.park(l, o, k, owner, hash, r)
	return true
}

// restoreOrder makes the oldest of a key its owner. It is not after a restart, if the owner had been leased when an older one was replayed.
func (s *Store) restoreOrder(l *lane, sn *snapshot, o *op, k *orderKey, hash uint64) {
	if k.owner == 0 || k.leased == k.owner {
		return
	}
	r, ok := l.waitingRecord(sn, k.owner)
	if ok {
		s.yield(l, sn, o, k, hash, r, s.clock().UnixNano())
	}
}

// waitingRecord returns the record of a delivery that waits in the schedule or the FIFO; false if it is elsewhere.
func (l *lane) waitingRecord(sn *snapshot, seq uint64) (record, bool) {
	r, ok, err := l.state(sn, seq)
	switch {
	case err != nil:
		return record{}, false
	case !ok:
		return record{state: queue.StatePending}, true
	}
	return r, r.open() && r.place == inScheduled
}

// parkFromFIFO takes a delivery out of the window on the FIFO before it is parked.
func (l *lane) parkFromFIFO(seq uint64, r record) {
	if r.place == inFIFO {
		l.withdraw(seq)
	}
}

// own makes a delivery the owner of its key, and the one before, if any, parked. The caller has checked that it may.
func (s *Store) own(l *lane, sn *snapshot, o *op, k *orderKey, seq, hash uint64, durable bool) {
	before := k.owner
	k.owner = seq
	if before != 0 && before != seq {
		if r, ok := l.waitingRecord(sn, before); ok {
			l.parkFromFIFO(before, r)
			s.park(l, o, k, before, hash, r)
			durable = true
		}
	}
	if before != seq && k.row || durable {
		l.writeOwner(o, k, hash)
	}
}

// park puts a delivery behind the owner of its key.
func (s *Store) park(l *lane, o *op, k *orderKey, seq, hash uint64, r record) {
	after := r
	after.place, after.due = inParked, 0
	l.change(o, seq, hash, r, after)
	k.insert(seq)
	if !k.row || seq < k.low {
		k.low = seq
		l.writeOwner(o, k, hash)
	}
	o.keys = append(o.keys, k)
}

// insert adds a parked delivery to the window.
func (k *orderKey) insert(seq uint64) {
	if k.more && seq >= k.from {
		return
	}
	at, found := slices.BinarySearch(k.parked, seq)
	if found {
		return
	}
	k.parked = slices.Insert(k.parked, at, seq)
	if len(k.parked) > parkedWindow {
		last := len(k.parked) - 1
		k.more, k.from = true, k.parked[last]
		k.parked = k.parked[:last]
	}
}

func (k *orderKey) drop(seq uint64) {
	if at, found := slices.BinarySearch(k.parked, seq); found {
		k.parked = slices.Delete(k.parked, at, at+1)
	}
}

// ready reports whether unlock can find out who is next; if not, the applier has to catch up first.
func (k *orderKey) ready(sn *snapshot) bool { return len(k.parked) > 0 || !k.more || k.op <= sn.op }

// unlock gives a key whose owner is done with it to the next delivery, which becomes due. It reports whether there was one.
func (s *Store) unlock(l *lane, sn *snapshot, o *op, k *orderKey, hash uint64, now int64) bool {
	if s.promote(l, sn, o, k, hash, now) {
		return true
	}
	k.owner = 0
	if k.row {
		o.del(ownerKey(l.id, hash))
		o.count.owners--
		o.keys = append(o.keys, k)
		k.row, k.low = false, 0
		l.idle = append(l.idle, hash)
		return false
	}
	l.retire(sn, k, hash)
	return false
}

// promote makes the smallest of the parked the owner of the key, due now or at the moment it waits for. It returns false if nobody is parked.
func (s *Store) promote(l *lane, sn *snapshot, o *op, k *orderKey, hash uint64, now int64) bool {
	for {
		if len(k.parked) == 0 && k.more {
			l.readParked(sn, k, hash)
		}
		if len(k.parked) == 0 {
			return false
		}
		seq := k.parked[0]
		k.parked = k.parked[1:]
		r, ok, err := l.state(sn, seq)
		if err != nil {
			s.log.Error("row of a parked delivery is damaged", zap.Stringer("event", queue.ID(seq)), zap.String("destination", l.name), zap.Error(err))
			r, ok = record{state: queue.StatePending, place: inParked}, true
		}
		if !ok || r.place != inParked {
			continue
		}
		after := r
		after.place, after.due = inScheduled, max(now, r.wanted)
		if r.wanted <= now {
			after.wanted = 0
		}
		k.owner, k.low = seq, seq+1
		l.change(o, seq, hash, r, after)
		l.writeOwner(o, k, hash)
		return true
	}
}

// retire drops a key that nobody owns, now or when the snapshot shows that its row is gone.
func (l *lane) retire(sn *snapshot, k *orderKey, hash uint64) {
	if k.leased != 0 {
		return // one that stepped aside is leased
	}
	if k.op <= sn.op {
		delete(l.keys, hash)
	} else {
		l.idle = append(l.idle, hash)
	}
}

// readParked reads the next parked deliveries of a key.
func (l *lane) readParked(sn *snapshot, k *orderKey, hash uint64) {
	prefix := be.AppendUint64(destTable(tabParked, l.id, 8), hash)
	n := 0
	sn.scan(prefix, parkedKey(l.id, hash, k.from), func(key []byte, _ *badger.Item) bool {
		if len(key) == 19 {
			k.parked = append(k.parked, be.Uint64(key[11:]))
			n++
		}
		return n < parkedWindow/2
	})
	k.more = n == parkedWindow/2
	if k.more {
		k.from = k.parked[len(k.parked)-1] + 1
	}
}
