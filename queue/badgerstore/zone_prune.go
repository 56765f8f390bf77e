package badgerstore

import (
	"context"

	"github.com/dgraph-io/badger/v4"
)

const (
	zoneRound = 1024 // zones that one call looks at
	zoneStep  = 128  // whose rows are deleted in one transaction
)

// dropZones deletes the rows about zones whose events are all pruned. It goes on where it was, and begins anew at its end.
func (s *Store) dropZones(ctx context.Context) error {
	for looked := 0; looked < zoneRound; looked += zoneStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := &op{done: make(chan error, 1)}
		sn := s.snaps.get()
		more := s.goneZones(sn, o)
		s.snaps.put(sn)
		if len(o.muts) > 0 {
			s.applier.push(o)
			if err := <-o.done; err != nil {
				return err
			}
		}
		if !more {
			s.hand.zone = 0
			return nil
		}
	}
	return nil
}

// goneZones adds the deletions of some rows to an operation. It reports whether there is more to look at.
func (s *Store) goneZones(sn *snapshot, o *op) (more bool) {
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
			o.del(zoneKey(zone))
			for part := range zoneParts {
				o.del(zoneIDsKey(zone, byte(part)))
			}
			for _, kind := range []byte{zoneAdded, zoneCancelled} {
				notes := zoneTable(kind, zone, 0)
				sn.scan(notes, notes, func(key []byte, _ *badger.Item) bool {
					o.del(append([]byte(nil), key...))
					return true
				})
			}
		}
		return !more
	})
	return more
}

// hasStragglers reports whether a zone before the pruner's mark has events.
func (n *snapshot) hasStragglers(zone uint64) (found bool) {
	n.scan([]byte{tabStraggler}, stragglerKey(zone<<zoneBits), func(key []byte, _ *badger.Item) bool {
		found = zoneOf(be.Uint64(key[1:])) == zone
		return false
	})
	return found
}
