package badgerstore

import (
	"cmp"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-webhooks/sluice/queue"
)

// place says in which table an unsettled delivery waits.
type place uint8

const (
	inFIFO      place = iota // where every delivery starts, unless it has to wait for a moment and has no order key
	inScheduled              // at record.due
	inParked                 // behind an older delivery of its order key
	nowhere                  // settled
)

// record is the state of a delivery as its row keeps it. The zero record is a delivery to which nothing has happened.
type record struct {
	state       queue.State
	place       place
	due         int64 // of its row in the schedule
	wanted      int64 // the Due it was given; 0: at once
	attempts    int
	firstTry    int64
	seriesTries int
	lastStatus  int
	lastError   string
	settledAt   int64
	replayed    bool
	aside       bool
	orderKey    string
	orderAt     int64
	last        *queue.Attempt // the last attempt; the ones before have their own rows
}

const (
	flagReplayed = 1 << iota
	flagAside
	flagAttempt
	flagPlace
)

const recordVersion = 1

func (r *record) encode() []byte {
	e := encoder{b: make([]byte, 0, 64)}
	e.byte(recordVersion)
	var flags byte
	if r.replayed {
		flags |= flagReplayed
	}
	if r.aside {
		flags |= flagAside
	}
	if r.last != nil {
		flags |= flagAttempt
	}
	if r.orderAt != 0 {
		flags |= flagPlace
	}
	e.byte(flags)
	e.byte(byte(r.state))
	e.byte(byte(r.place))
	e.int(r.due)
	e.int(r.wanted)
	e.uint(uint64(r.attempts))
	e.int(r.firstTry)
	e.uint(uint64(r.seriesTries))
	e.int(int64(r.lastStatus))
	e.string(r.lastError)
	e.int(r.settledAt)
	e.string(r.orderKey)
	if r.orderAt != 0 {
		e.int(r.orderAt)
	}
	if r.last != nil {
		encodeAttempt(&e, r.last)
	}
	return e.b
}

func decodeRecord(b []byte) (record, error) {
	d := decoder{b: b}
	version, flags := d.byte(), d.byte()
	r := record{
		state:       queue.State(d.byte()),
		place:       place(d.byte()),
		due:         d.int(),
		wanted:      d.int(),
		attempts:    int(d.uint()),
		firstTry:    d.int(),
		seriesTries: int(d.uint()),
		lastStatus:  int(d.int()),
		lastError:   d.string(),
		settledAt:   d.int(),
		orderKey:    d.string(),
		replayed:    flags&flagReplayed != 0,
		aside:       flags&flagAside != 0,
	}
	if flags&flagPlace != 0 {
		r.orderAt = d.int()
	}
	if flags&flagAttempt != 0 {
		a := decodeAttempt(&d)
		r.last = &a
	}
	if d.bad || version != recordVersion || r.place > nowhere {
		return record{}, queue.ErrDamaged
	}
	return r, nil
}

const (
	maxResponse = 512
	maxError    = 200
)

func encodeAttempt(e *encoder, a *queue.Attempt) {
	e.uint(uint64(a.Number))
	e.byte(byte(a.Trigger))
	e.int(nanos(a.At))
	e.int(int64(a.Duration))
	e.int(int64(a.Status))
	e.string(a.Class)
	e.string(a.Error)
	e.bytes(a.Response)
}

func decodeAttempt(d *decoder) queue.Attempt {
	return queue.Attempt{
		Number:   int(d.uint()),
		Trigger:  queue.Trigger(d.byte()),
		At:       fromNanos(d.int()),
		Duration: time.Duration(d.int()),
		Status:   int(d.int()),
		Class:    d.string(),
		Error:    d.string(),
		Response: d.bytes(),
	}
}

// delivery is the record as the contract shows it.
func (r *record) delivery(seq uint64, destination string) queue.Delivery {
	return queue.Delivery{
		Event:       queue.ID(seq),
		Destination: destination,
		State:       r.state,
		OrderKey:    r.orderKey,
		OrderAt:     fromNanos(r.orderAt),
		Attempts:    r.attempts,
		Due:         fromNanos(r.wanted),
		FirstTry:    fromNanos(r.firstTry),
		SeriesTries: r.seriesTries,
		LastStatus:  r.lastStatus,
		LastError:   r.lastError,
		SettledAt:   fromNanos(r.settledAt),
		Replayed:    r.replayed,
	}
}

// initial is the record of a delivery to which nothing has happened since it was enqueued.
func initial(n queue.NewDelivery, enqueued int64) record {
	r := record{state: queue.StatePending, orderKey: n.OrderKey, wanted: nanos(n.NotBefore)}
	if due, scheduled := start(&n, enqueued); scheduled {
		r.place, r.due = inScheduled, due
	}
	if n.OrderKey != "" {
		r.orderAt = nanos(n.OrderAt)
	}
	return r
}

// turn is the place of a delivery within its order key: by OrderAt, then by the event.
type turn struct {
	at  int64
	seq uint64
}

func (r *record) turn(seq uint64) turn { return turn{r.orderAt, seq} }

func (t turn) compare(o turn) int { return cmp.Or(cmp.Compare(t.at, o.at), cmp.Compare(t.seq, o.seq)) }

func (t turn) before(o turn) bool { return t.compare(o) < 0 }

// next is the first turn after t that anybody can have.
func (t turn) next() turn { return turn{t.at, t.seq + 1} }

// hashOrder is the form in which rows keep order keys; 0 is no key. Two keys with the same hash are kept in order for no reason, and nothing else.
func hashOrder(key string) uint64 {
	if key == "" {
		return 0
	}
	return max(xxhash.Sum64String(key), 1)
}
