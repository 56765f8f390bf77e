package badgerstore

import (
	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// zoneFilter leaves out what a filter surely does not let through, going back.
type zoneFilter struct {
	p         *pager
	active    bool
	byID      bool
	print     uint16 // of the provider's id
	summaries backward
	ids       backward
	read      int // rows

	judged  uint64 // the zone that verdict is about
	verdict zoneVerdict
	noted   map[byte]map[uint64]bool // zones with a delivery to a destination in question that came later, or was cancelled, as far as they were read
	only    bool                     // zones in which a delivery was cancelled
}

type zoneVerdict uint8

const (
	zoneUnjudged zoneVerdict = iota
	zoneUnknown              // it has no row
	zoneMay
	zoneNot
)

// newZoneFilter makes one of a filter. With cancelled it lets only those zones through in which a delivery was cancelled.
func newZoneFilter(p *pager, cancelled bool) zoneFilter {
	f := p.f
	z := zoneFilter{p: p, byID: f.EventID != "", print: idPrint(f.EventID), only: cancelled}
	z.active = p.s.zones.ready.Load() &&
		(cancelled || p.chosen || z.byID || f.Source != "" || f.Provider != "" || f.Type != "" || !f.Since.IsZero() || !f.Until.IsZero())
	if z.active {
		z.summaries = p.sn.backward([]byte{tabZone, zoneSummary})
	}
	if z.active && z.byID {
		z.ids = p.sn.backward([]byte{tabZone, zoneIDs})
	}
	return z
}

func (z *zoneFilter) close() {
	if z.active {
		z.summaries.close()
	}
	if z.active && z.byID {
		z.ids.close()
	}
}

// limit returns a number up to seq+1 such that no event from it up to seq is let through.
func (z *zoneFilter) limit(seq uint64) uint64 {
	for z.active {
		zone := zoneOf(seq)
		limit := zone << zoneBits
		switch z.judge(zone) {
		case zoneUnknown:
			return seq + 1
		case zoneMay:
			if !z.byID {
				return seq + 1
			}
			if after := z.after(zone, seq); after > limit {
				return after
			}
		}
		if limit == 0 || z.read >= scanRows || z.p.ctx.Err() != nil {
			return limit
		}
		seq = limit - 1
	}
	return seq + 1
}

// judge asks what occurs in a zone.
func (z *zoneFilter) judge(zone uint64) zoneVerdict {
	if z.verdict != zoneUnjudged && z.judged == zone {
		return z.verdict
	}
	z.judged, z.verdict = zone, zoneUnknown
	z.row(&z.summaries, zoneKey(zone), zone, func(value []byte) bool {
		what, err := decodeZone(value)
		if err != nil {
			return false
		}
		z.verdict = zoneNot
		if z.matches(zone, what) {
			z.verdict = zoneMay
		}
		return true
	})
	return z.verdict
}

// row calls fn with a row about a zone, if there is one. If it is broken, or fn says so, it is made anew.
func (z *zoneFilter) row(rows *backward, key []byte, zone uint64, fn func(value []byte) bool) (ok bool) {
	defer rows.guard(nil)
	z.read++
	item, found := rows.to(key)
	if !found || string(item.Key()) != string(key) {
		return false
	}
	err := item.Value(func(sealed []byte) error {
		value, sound := unseal(key, sealed)
		ok = sound && fn(value)
		return nil
	})
	if err != nil || !ok {
		z.p.s.zones.mend(zone)
		return false
	}
	return true
}

// matches reports whether some event of a zone may be let through.
func (z *zoneFilter) matches(zone uint64, what *zone) bool {
	f := z.p.f
	switch {
	case f.Source != "" && !what.sources.has(f.Source),
		f.Provider != "" && !what.providers.has(f.Provider),
		!f.Since.IsZero() && what.last < nanos(f.Since),
		!f.Until.IsZero() && what.first >= nanos(f.Until),
		f.Type != "" && !what.hasType(f.Type),
		z.only && !what.cancelled && !z.hasNote(zoneCancelled, zone):
		return false
	}
	return !z.p.chosen || what.anyDest || z.hasDest(zone, what)
}

func (z *zone) hasType(glob string) bool {
	if z.types.any {
		return true
	}
	for _, name := range z.types.names {
		if ok, err := queue.MatchType(glob, name); ok || err != nil {
			return true
		}
	}
	return false
}

func (z *zoneFilter) hasDest(zone uint64, what *zone) bool {
	for _, id := range what.dests {
		for _, l := range z.p.lanes {
			if l.id == id {
				return true
			}
		}
	}
	return z.hasNote(zoneAdded, zone)
}

// hasNote reports whether there is a note of a kind about a zone and a destination in question. There are few: one for a zone and a destination at most.
func (z *zoneFilter) hasNote(kind byte, zone uint64) bool {
	if z.noted[kind] == nil {
		if z.noted == nil {
			z.noted = map[byte]map[uint64]bool{}
		}
		z.noted[kind] = z.notes(kind)
	}
	return z.noted[kind][zone]
}

func (z *zoneFilter) notes(kind byte) map[uint64]bool {
	noted := map[uint64]bool{}
	wanted := map[uint16]bool{}
	for _, l := range z.p.lanes {
		wanted[l.id] = true
	}
	prefix, passed := []byte{tabZone, kind}, 0
	z.p.sn.scan(prefix, prefix, func(key []byte, _ *badger.Item) bool {
		if len(key) == 12 && wanted[be.Uint16(key[10:])] {
			noted[be.Uint64(key[2:])] = true
		}
		passed++
		return passed%skipCheck != 0 || z.p.ctx.Err() == nil
	})
	return noted
}

// cancelledRows are the events of the zones in which some delivery was cancelled.
type cancelledRows struct {
	events candidates
	zones  zoneFilter
}

func (c *cancelledRows) below(limit uint64) (uint64, bool) {
	for limit > 0 {
		seq, ok := c.events.below(limit)
		if !ok {
			return 0, false
		}
		if limit = c.zones.limit(seq); limit > seq || c.zones.p.ctx.Err() != nil {
			return seq, true
		}
	}
	return 0, false
}

func (c *cancelledRows) close() {
	c.zones.close()
	c.events.close()
}

// after returns the number after the last event of a zone, up to seq, that may have the provider's id; the first number of the zone if there is none.
func (z *zoneFilter) after(zone, seq uint64) uint64 {
	for part := int(seq >> partBits & (zoneParts - 1)); part >= 0; part-- {
		first := zone<<zoneBits | uint64(part)<<partBits
		last := min(seq, first+partEvents-1)
		found := uint64(0)
		ok := z.row(&z.ids, zoneIDsKey(zone, byte(part)), zone, func(prints []byte) bool {
			if len(prints) != 2*partEvents {
				return false
			}
			for n := last + 1; n > first && found == 0; n-- {
				if be.Uint16(prints[2*(n-1-first):]) == z.print {
					found = n
				}
			}
			return true
		})
		switch {
		case !ok:
			z.p.s.zones.mend(zone)
			return last + 1
		case found != 0:
			return found
		}
	}
	return zone << zoneBits
}
