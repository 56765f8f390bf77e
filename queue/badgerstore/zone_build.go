package badgerstore

import (
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	zonePace = 10 * time.Millisecond // for a step: 256 events
	zoneIdle = time.Second           // when there is nothing to do
	zoneSkim = 16                    // zones that have their rows and are passed in a step
)

// keepZones makes the rows of complete zones, of old ones too, newest first, until the store is closed.
func (s *Store) keepZones() {
	defer s.wg.Done()
	pace := time.NewTicker(zonePace)
	defer pace.Stop()
	b := &zoneBuilder{s: s}
	idle := false
	for {
		select {
		case <-s.quit:
			return
		case <-pace.C:
		}
		if s.Failure() != nil || s.disk.stopped() {
			continue
		}
		busy, err := b.step()
		if err != nil {
			s.log.Warn("index of events was not made", zap.Error(err))
		}
		switch {
		case busy && idle:
			pace.Reset(zonePace)
		case !busy && !idle:
			pace.Reset(zoneIdle)
		}
		idle = !busy
	}
}

// zoneBuilder makes rows, a few events at a time.
type zoneBuilder struct {
	s       *Store
	started bool
	up      uint64 // zones before it were complete when the store was opened, or have been made since
	down    uint64 // zones from it up to those have been looked at

	zone  uint64 // that is being made; 0: none
	part  int
	draft *zoneDraft
}

// step does a bounded piece of work. It reports whether there is more.
func (b *zoneBuilder) step() (busy bool, err error) {
	if !b.s.zones.ready.Load() {
		return true, b.clear()
	}
	sn := b.s.snaps.get()
	defer b.s.snaps.put(sn)
	if !b.started {
		b.started, b.up = true, zoneOf(sn.seq+1)
		b.down = b.up
	}
	if b.zone == 0 {
		return b.pick(sn), nil
	}
	if err := guarded(func() error { return b.read(sn) }); err != nil {
		b.zone = 0 // it stays without rows until the store is opened again
		return false, err
	}
	if b.part++; b.part == zoneParts {
		b.write()
	}
	return true, nil
}

// clear deletes the rows that a version left which did not keep them right when it was the last to write. They are of no use.
func (b *zoneBuilder) clear() error {
	prefix := []byte{tabZone}
	o, next := b.s.deletions(prefix, prefix)
	if next == nil {
		o.kept = keptZones
	}
	err := b.s.apply(o)
	if err == nil && next == nil {
		b.s.zones.ready.Store(true)
	}
	return err
}

// pick chooses the zone to make next: a broken one, one that has become complete without its rows, or the newest of the old ones that have no rows. It reports whether there may be one.
func (b *zoneBuilder) pick(sn *snapshot) bool {
	if zone, ok := b.s.zones.takeBroken(); ok {
		b.begin(zone)
		return true
	}
	if complete := zoneOf(sn.seq + 1); b.up < complete {
		next := complete
		sn.scan([]byte{tabEvent}, eventKey(b.up<<zoneBits), func(key []byte, _ *badger.Item) bool {
			next = zoneOf(be.Uint64(key[1:]))
			return false
		})
		if next < complete && !sn.hasZone(next) {
			b.begin(next)
		}
		b.up = min(next, complete-1) + 1
		return true
	}
	if b.down == 0 {
		return false
	}
	rows := &tableRows{backward: sn.backward([]byte{tabEvent}), lowest: sn.lowest()}
	defer rows.close()
	for range zoneSkim {
		seq, ok := rows.below(b.down << zoneBits)
		if !ok {
			b.down = 0
			return false
		}
		b.down = zoneOf(seq)
		if !sn.hasZone(b.down) {
			b.begin(b.down)
			return true
		}
	}
	return true
}

// hasZone reports whether a zone has its rows.
func (n *snapshot) hasZone(number uint64) bool {
	return n.row(zoneKey(number), func(value []byte) error { _, err := decodeZone(value); return err }) == nil
}

func (b *zoneBuilder) begin(number uint64) {
	b.zone, b.part, b.draft = number, 0, newZoneDraft()
}

// read takes in the next part of the zone. An event that cannot be read is shown by no filter.
func (b *zoneBuilder) read(sn *snapshot) (err error) {
	first := b.zone<<zoneBits | uint64(b.part)<<partBits
	end := first + partEvents
	sn.walk([]byte{tabEvent}, eventKey(first), func(key []byte, item *badger.Item) bool {
		seq := be.Uint64(key[1:])
		if seq >= end {
			return false
		}
		err = item.Value(func(rec []byte) error {
			if isTombstone(rec) || sn.cameBack(seq) {
				return nil
			}
			if e, damaged := decodeEvent(rec, seq, false); damaged == nil {
				b.add(seq, e)
			}
			return nil
		})
		return err == nil
	})
	// Deliveries to destinations that the events were not meant for, and cancelled ones, from before somebody wrote that down.
	sn.walk([]byte{tabDelivery}, seqTable(tabDelivery, first, 0), func(key []byte, item *badger.Item) bool {
		if len(key) != 11 || be.Uint64(key[1:]) >= end {
			return be.Uint64(key[1:]) < end
		}
		b.draft.addDest(be.Uint16(key[9:]))
		var row deliveryRow
		unread := item.Value(func(sealed []byte) error {
			row = readDelivery(key, sealed, nil)
			return nil
		})
		b.draft.cancelled = b.draft.cancelled || unread != nil || row.err != nil || row.record.state == queue.StateCancelled
		return true
	})
	return err
}

func (b *zoneBuilder) add(seq uint64, e *stored) {
	z := b.draft
	z.add(seq, &e.Event)
	for i := range e.deliveries {
		if l := b.s.lanes.find(e.deliveries[i].Destination); l != nil {
			z.addDest(l.id)
		} else {
			z.anyDest = true
		}
	}
}

// write hands the rows to the applier.
func (b *zoneBuilder) write() {
	o := &op{}
	b.draft.put(o, b.zone)
	b.zone, b.draft = 0, nil
	b.s.applier.push(o)
}
