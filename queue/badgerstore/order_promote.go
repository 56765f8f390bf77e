package badgerstore

import (
	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// unlock gives a key whose owner is done with it to the next delivery, which becomes due. It reports whether there was one.
func (s *Store) unlock(l *lane, sn *snapshot, o *op, k *orderKey, hash uint64, now int64) bool {
	if s.promote(l, sn, o, k, hash, now) {
		return true
	}
	k.owner = turn{}
	if k.row {
		o.del(ownerKey(l.id, hash))
		o.count.owners--
		o.keys = append(o.keys, k)
		k.row, k.low = false, turn{}
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
		t := k.parked[0]
		k.parked = k.parked[1:]
		r, ok, err := l.state(sn, t.seq)
		if err != nil {
			s.log.Error("row of a parked delivery is damaged", zap.Stringer("event", queue.ID(t.seq)), zap.String("destination", l.name), zap.Error(err))
			r, ok = record{state: queue.StatePending, place: inParked, orderAt: t.at}, true
		}
		if !ok || r.place != inParked {
			continue
		}
		after := r
		after.place, after.due = inScheduled, max(now, r.wanted)
		if r.wanted <= now {
			after.wanted = 0
		}
		k.owner, k.low = t, t.next()
		l.change(o, t.seq, hash, r, after)
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
		if t, ok := parkedTurn(key); ok {
			k.parked = append(k.parked, t)
			n++
		}
		return n < parkedWindow/2
	})
	k.more = n == parkedWindow/2
	if k.more {
		k.from = k.parked[len(k.parked)-1].next()
	}
}
