package badgerstore

import (
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

// orderKey is an order key of a destination with unsettled deliveries. One of them owns it: the only one that may be leased. The others
// that were met are parked, and the smallest of them owns the key next. A delivery that waits for a retry goes on owning the key, unless it
// stepped aside. Deliveries behind it that are still in the FIFO are parked when their turn comes.
//
// The owner has a row as soon as others have to know of it after a restart: when it waits for a retry, or when somebody is parked.
type orderKey struct {
	owner  uint64 // 0: nobody
	leased bool
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
		if k == nil || k.owner != 0 {
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
		if !k.leased && k.row && k.op <= visible {
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

// own makes a delivery the owner of its key, and the one before, if any, parked. The caller has checked that it may.
func (s *Store) own(l *lane, sn *snapshot, o *op, k *orderKey, seq, hash uint64, durable bool) {
	before := k.owner
	k.owner = seq
	if before != 0 && before != seq {
		if r, ok, err := l.state(sn, before); err == nil && ok && r.open() && r.place == inScheduled {
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
	k.hold(seq)
	if !k.row || seq < k.low {
		k.low = seq
		l.writeOwner(o, k, hash)
	}
	o.keys = append(o.keys, k)
}

// hold adds a parked delivery to the window.
func (k *orderKey) hold(seq uint64) {
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
	k.leased = false
	for {
		if len(k.parked) == 0 && k.more {
			l.readParked(sn, k, hash)
		}
		if len(k.parked) == 0 {
			break
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

// retire drops a key that nobody owns, now or when the snapshot shows that its row is gone.
func (l *lane) retire(sn *snapshot, k *orderKey, hash uint64) {
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
