package badgerstore

import (
	"hash/crc32"
	"net/http"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// An event's record is what the journal carries and what Badger keeps under the event's key, byte for byte:
//
//	0  version   u8   eventVersion or placeVersion
//	1  reserved  3 bytes, zero
//	4  meta      u32  length of the meta part
//	8  body      u32  length of the body
//	12 seq       u64
//	20 crc       u32  CRC32C of the bytes before it and of the meta part
//	24 crc       u32  CRC32C of the body, continued from the one before
//	28 meta part, body
//
// The meta part alone is enough to list an event, so the two have their own checksums.
const (
	eventVersion = 1
	placeVersion = 2 // the deliveries have an OrderAt each
	eventHeader  = 28

	offSeq     = 12
	offMetaSum = 20
	offBodySum = 24
)

// stored is a decoded event with what the store keeps beside it.
type stored struct {
	queue.Event
	size       int // of the body
	enqueued   int64
	deliveries []queue.NewDelivery
	claim      dedupClaim
}

// dedupClaim is the claim an event made when it was accepted; until is 0 if it made none.
type dedupClaim struct {
	hash   [16]byte
	until  int64
	bucket uint32    // that it is in; not in the event's record, nor is the next
	log    *claimLog // nil if it gets a row of its own
}

// encodeEvent appends the record of an event. Its sequence number and its checksums are filled in by sealEvent.
func encodeEvent(buf []byte, n *queue.NewEvent, enqueued int64, claim dedupClaim) []byte {
	e := encoder{b: append(buf, make([]byte, eventHeader)...)}
	start := len(buf)
	placed := slices.ContainsFunc(n.Deliveries, func(d queue.NewDelivery) bool { return !d.OrderAt.IsZero() })
	e.b[start] = eventVersion
	if placed {
		e.b[start] = placeVersion
	}
	e.int(enqueued)
	e.int(claim.until)
	if claim.until != 0 {
		e.b = append(e.b, claim.hash[:]...)
	}
	e.uint(uint64(len(n.Deliveries)))
	for i := range n.Deliveries {
		e.string(n.Deliveries[i].Destination)
		e.string(n.Deliveries[i].OrderKey)
		e.int(nanos(n.Deliveries[i].NotBefore))
		if placed {
			e.int(nanos(n.Deliveries[i].OrderAt))
		}
	}
	encodeEventFields(&e, &n.Event)
	be.PutUint32(e.b[start+4:], uint32(len(e.b)-start-eventHeader))
	be.PutUint32(e.b[start+8:], uint32(len(n.Body)))
	return append(e.b, n.Body...)
}

func encodeEventFields(e *encoder, n *queue.Event) {
	e.string(n.Source)
	e.string(n.Provider)
	e.time(n.ReceivedAt)
	e.string(n.EventID)
	e.string(n.Type)
	e.time(n.Time)
	e.string(n.Subject)
	e.string(n.ClientIP)
	e.int(int64(n.SecretIndex))
	e.string(n.TraceParent)
	e.string(n.TraceState)
	e.uint(uint64(n.ReplayOf))
	e.uint(uint64(len(n.Filtered)))
	for _, f := range n.Filtered {
		e.string(f)
	}
	e.string(n.Method)
	e.string(n.URL)
	e.uint(uint64(len(n.Header)))
	for name, values := range n.Header {
		e.string(name)
		e.uint(uint64(len(values)))
		for _, v := range values {
			e.string(v)
		}
	}
}

// sealEvent fills in the sequence number and the checksums.
func sealEvent(rec []byte, seq uint64) {
	be.PutUint64(rec[offSeq:], seq)
	meta := eventHeader + int(be.Uint32(rec[4:]))
	sum := crc32.Checksum(rec[:offMetaSum], castagnoli)
	sum = crc32.Update(sum, castagnoli, rec[eventHeader:meta])
	be.PutUint32(rec[offMetaSum:], sum)
	be.PutUint32(rec[offBodySum:], crc32.Update(sum, castagnoli, rec[meta:]))
}

// splitEvent checks the record of the event with the given number and returns its parts; the body is not checked unless whole is set.
func splitEvent(rec []byte, seq uint64, whole bool) (meta, body []byte, ok bool) {
	if len(rec) < eventHeader || rec[0] != eventVersion && rec[0] != placeVersion || be.Uint64(rec[offSeq:]) != seq {
		return nil, nil, false
	}
	metaLen, bodyLen := uint64(be.Uint32(rec[4:])), uint64(be.Uint32(rec[8:]))
	if eventHeader+metaLen+bodyLen != uint64(len(rec)) {
		return nil, nil, false
	}
	meta, body = rec[eventHeader:eventHeader+metaLen], rec[eventHeader+metaLen:]
	sum := crc32.Update(crc32.Checksum(rec[:offMetaSum], castagnoli), castagnoli, meta)
	if sum != be.Uint32(rec[offMetaSum:]) {
		return nil, nil, false
	}
	if whole && crc32.Update(sum, castagnoli, body) != be.Uint32(rec[offBodySum:]) {
		return nil, nil, false
	}
	return meta, body, true
}

// decodeEvent reads a record. Without whole, the header, the body and its checksum are left out.
func decodeEvent(rec []byte, seq uint64, whole bool) (*stored, error) {
	meta, body, ok := splitEvent(rec, seq, whole)
	if !ok {
		return nil, queue.ErrDamaged
	}
	d := decoder{b: meta}
	if whole {
		d.text = string(meta) // nearly all of it is strings
	}
	s := &stored{size: len(body)}
	s.ID = queue.ID(seq)
	s.enqueued = d.int()
	if s.claim.until = d.int(); s.claim.until != 0 && len(d.b) >= 16 {
		d.b = d.b[copy(s.claim.hash[:], d.b):]
	}
	if n := d.count(); n > 0 {
		s.deliveries = make([]queue.NewDelivery, 0, n)
		for range n {
			nd := queue.NewDelivery{Destination: d.string(), OrderKey: d.string(), NotBefore: fromNanos(d.int())}
			if rec[0] == placeVersion {
				nd.OrderAt = fromNanos(d.int())
			}
			s.deliveries = append(s.deliveries, nd)
		}
	}
	decodeEventFields(&d, &s.Event, whole)
	if d.bad {
		return nil, queue.ErrDamaged
	}
	if whole {
		s.Body = append([]byte(nil), body...)
	}
	return s, nil
}

func decodeEventFields(d *decoder, n *queue.Event, whole bool) {
	n.Source = d.string()
	n.Provider = d.string()
	n.ReceivedAt = d.time()
	n.EventID = d.string()
	n.Type = d.string()
	n.Time = d.time()
	n.Subject = d.string()
	n.ClientIP = d.string()
	n.SecretIndex = int(d.int())
	n.TraceParent = d.string()
	n.TraceState = d.string()
	n.ReplayOf = queue.ID(d.uint())
	if k := d.count(); k > 0 {
		n.Filtered = make([]string, 0, k)
		for range k {
			n.Filtered = append(n.Filtered, d.string())
		}
	}
	n.Method = d.string()
	n.URL = d.string()
	if !whole {
		return
	}
	if k := d.count(); k > 0 {
		n.Header = make(http.Header, k)
		values := make([]string, 0, k) // most have one
		for range k {
			name, first := d.string(), len(values)
			for range d.count() {
				values = append(values, d.string())
			}
			n.Header[name] = values[first:len(values):len(values)]
		}
	}
}

// delivery returns the new delivery to a destination; false if the event had none when it came.
func (s *stored) delivery(destination string) (queue.NewDelivery, bool) {
	for _, d := range s.deliveries {
		if d.Destination == destination {
			return d, true
		}
	}
	return queue.NewDelivery{}, false
}

// start says where a delivery begins: in the schedule if it waits for a moment and has no order key, or if it has a place of its own within its key, so
// that those of a key come in that order; else in the FIFO. due is when it may be attempted, 0 if that is at once.
func start(n *queue.NewDelivery, enqueued int64) (due int64, scheduled bool) {
	wanted := nanos(n.NotBefore)
	switch {
	case n.OrderKey != "" && !n.OrderAt.IsZero():
		if wanted == 0 {
			wanted = enqueued
		}
		return wanted, true
	case wanted <= enqueued:
		return 0, false
	}
	return wanted, n.OrderKey == ""
}
