package badgerstore

import (
	"context"

	"github.com/dgraph-io/badger/v4"
)

const (
	zoneRound = 1024 // zones that one call looks at
	zoneStep  = 128  // that it looks at between two waits for the applier
)

// dropZones deletes the rows about zones whose events are all pruned. It goes on where it was, and begins anew at its end.
func (s *Store) dropZones(ctx context.Context) error {
	for looked := 0; looked < zoneRound; looked += zoneStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		sn := s.snaps.get()
		ops, more := s.goneZones(sn)
		s.snaps.put(sn)
		if err := s.applier.pushAll(ops); err != nil {
			return err
		}
		if !more {
			s.hand.zone = 0
			return nil
		}
	}
	return nil
}

// goneZones returns what deletes the rows of some zones. It reports whether there is more to look at.
func (s *Store) goneZones(sn *snapshot) (ops []*op, more bool) {
	end, looked := zoneOf(sn.prunedTo()), 0
	sn.scan([]byte{tabZone, zoneSummary}, zoneKey(s.hand.zone), func(key []byte, _ *badger.Item) bool {
		zone := be.Uint64(key[2:])
		if zone >= end {
			more = false
			return false
		}
		s.hand.zone = zone + 1
		looked++
		more = looked == zoneStep
		if !sn.hasStragglers(zone) {
			ops = append(ops, sn.dropZone(zone)...)
		}
		return !more
	})
	return ops, more
}

// dropZone returns what deletes the rows of a zone: the notes first, because nobody looks for those of a zone without a summary.
func (n *snapshot) dropZone(zone uint64) []*op {
	notes, o := &op{apart: true}, &op{}
	for _, kind := range []byte{zoneAdded, zoneCancelled} {
		prefix := zoneTable(kind, zone, 0)
		n.scan(prefix, prefix, func(key []byte, _ *badger.Item) bool {
			notes.del(append([]byte(nil), key...))
			return true
		})
	}
	o.del(zoneKey(zone))
	for part := range zoneParts {
		o.del(zoneIDsKey(zone, byte(part)))
	}
	return []*op{notes, o}
}

// hasStragglers reports whether a zone before the pruner's mark has events.
func (n *snapshot) hasStragglers(zone uint64) (found bool) {
	n.scan([]byte{tabStraggler}, stragglerKey(zone<<zoneBits), func(key []byte, _ *badger.Item) bool {
		found = zoneOf(be.Uint64(key[1:])) == zone
		return false
	})
	return found
}
