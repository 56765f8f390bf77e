package badgerstore

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-webhooks/sluice/queue"
)

// A zone is 4096 consecutive numbers of events. Once all of them are given away and stored, rows say what occurs among their events, so that a list with a filter
// that lets little through passes over thousands of events at a time. The rows are made with the last event (zone_fresh.go) or in the background (zone_build.go),
// and follow from the events: where they are missing or broken, the events themselves are read. An event never changes, so neither do the rows, with two exceptions:
// a replay may give an event a delivery to a destination that it was not meant for, and a delivery may be cancelled. That is written with the change itself, in
// rows of their own.
//
//	Z s zone        what occurs (zone.encode)
//	Z i zone part   the providers' event ids of 256 of the events: two bytes of a hash for each number
//	Z a zone dest   some event got a delivery to the destination later
//	Z c zone dest   some delivery to the destination was cancelled: there are few, and no other table has them
const (
	zoneBits = 12
	partBits = 8 // of a row of ids, which is well below the size from which on Badger keeps values elsewhere

	partEvents = 1 << partBits
	zoneParts  = 1 << (zoneBits - partBits)

	zoneSummary   = 's'
	zoneIDs       = 'i'
	zoneAdded     = 'a'
	zoneCancelled = 'c'
)

func zoneOf(seq uint64) uint64 { return seq >> zoneBits }

func zoneTable(kind byte, zone uint64, room int) []byte {
	return be.AppendUint64(append(make([]byte, 0, 10+room), tabZone, kind), zone)
}

func zoneKey(zone uint64) []byte { return zoneTable(zoneSummary, zone, 0) }

func zoneIDsKey(zone uint64, part byte) []byte { return append(zoneTable(zoneIDs, zone, 1), part) }

func zoneNoteKey(kind byte, zone uint64, dest uint16) []byte {
	return be.AppendUint16(zoneTable(kind, zone, 2), dest)
}

// zone says what occurs in a zone.
type zone struct {
	first, last               int64 // when the first and the last of its events were received
	sources, providers, types nameSet
	dests                     []uint16
	anyDest                   bool
	cancelled                 bool // some delivery was, before the row was made
}

// nameSet are names, as many as there is room for.
type nameSet struct {
	names []string
	size  int
	any   bool // there are others
}

// How many bytes of names and how many destinations a row has room for.
const (
	roomSources   = 200
	roomProviders = 100
	roomTypes     = 400
	roomDests     = 60
	zoneVersion   = 2
)

func (n *nameSet) add(name string, room int) {
	if n.any || slices.Contains(n.names, name) {
		return
	}
	if n.size += len(name) + 1; n.size > room {
		*n = nameSet{any: true}
		return
	}
	n.names = append(n.names, name)
}

func (n *nameSet) has(name string) bool { return n.any || slices.Contains(n.names, name) }

func (n *nameSet) encode(e *encoder) {
	if n.any {
		e.byte(1)
		return
	}
	e.byte(0)
	e.uint(uint64(len(n.names)))
	for _, name := range n.names {
		e.string(name)
	}
}

func (n *nameSet) decode(d *decoder) {
	if n.any = d.byte() == 1; n.any {
		return
	}
	for range d.count() {
		n.names = append(n.names, d.string())
	}
}

func (z *zone) addDest(id uint16) {
	switch {
	case z.anyDest || slices.Contains(z.dests, id):
	case len(z.dests) == roomDests:
		z.dests, z.anyDest = nil, true
	default:
		z.dests = append(z.dests, id)
	}
}

func (z *zone) encode() []byte {
	e := encoder{b: make([]byte, 0, 256)}
	e.byte(zoneVersion)
	e.int(z.first)
	e.int(z.last)
	z.sources.encode(&e)
	z.providers.encode(&e)
	z.types.encode(&e)
	e.byte(byte(btoi(z.anyDest)))
	e.uint(uint64(len(z.dests)))
	for _, id := range z.dests {
		e.uint(uint64(id))
	}
	e.byte(byte(btoi(z.cancelled)))
	return e.b
}

func decodeZone(value []byte) (*zone, error) {
	d := decoder{b: value}
	version := d.byte()
	z := &zone{first: d.int(), last: d.int()}
	z.sources.decode(&d)
	z.providers.decode(&d)
	z.types.decode(&d)
	z.anyDest = d.byte() == 1
	for range d.count() {
		z.dests = append(z.dests, uint16(d.uint()))
	}
	z.cancelled = d.byte() == 1
	if d.bad || version != zoneVersion {
		return nil, queue.ErrDamaged
	}
	return z, nil
}

// idPrint is what a row of ids keeps of a provider's event id; 0 is none.
func idPrint(id string) uint16 {
	if id == "" {
		return 0
	}
	return max(uint16(xxhash.Sum64String(id)), 1)
}

// zoneDraft is what the rows of a zone say so far.
type zoneDraft struct {
	zone
	ids [zoneParts][]byte
}

func newZoneDraft() *zoneDraft {
	z := &zoneDraft{zone: zone{first: math.MaxInt64, last: math.MinInt64}}
	for i := range z.ids {
		z.ids[i] = make([]byte, 2*partEvents, 2*partEvents+4)
	}
	return z
}

// add takes in an event without its deliveries.
func (z *zoneDraft) add(seq uint64, e *queue.Event) {
	at := nanos(e.ReceivedAt)
	z.first, z.last = min(z.first, at), max(z.last, at)
	z.sources.add(e.Source, roomSources)
	z.providers.add(e.Provider, roomProviders)
	z.types.add(e.Type, roomTypes)
	be.PutUint16(z.ids[seq>>partBits%zoneParts][2*(seq%partEvents):], idPrint(e.EventID))
}

// put adds the rows to an operation. Where there is a summary, there are the others.
func (z *zoneDraft) put(o *op, number uint64) {
	for i, row := range z.ids {
		o.put(zoneIDsKey(number, byte(i)), row)
	}
	o.put(zoneKey(number), z.encode())
}

// zones is what the store keeps in memory about its zones.
type zones struct {
	ready atomic.Bool // no row is from a time when nobody kept them right

	mu     sync.Mutex
	broken map[uint64]struct{} // zones with a row that cannot be read
}

// maxBroken bounds how many broken zones are remembered; others are met again.
const maxBroken = 1024

// mend has the rows of a zone made anew.
func (z *zones) mend(zone uint64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.broken == nil {
		z.broken = map[uint64]struct{}{}
	}
	if len(z.broken) < maxBroken {
		z.broken[zone] = struct{}{}
	}
}

// takeBroken returns a zone to mend; false if there is none.
func (z *zones) takeBroken() (uint64, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for zone := range z.broken {
		delete(z.broken, zone)
		return zone, true
	}
	return 0, false
}

// noteZone writes down that an event gets a delivery to a destination it was not meant for, or that one is cancelled. last is the zone of which that was written
// last. The caller holds l.mu.
func (s *Store) noteZone(o *op, kind byte, seq uint64, l *lane, last *uint64) {
	zone := zoneOf(seq)
	if *last == zone {
		return // a job that changes many comes here for each of them
	}
	o.put(zoneNoteKey(kind, zone, l.id), nil)
	if s.zones.ready.Load() { // until then, rows that are there are deleted
		*last = zone
	}
}
