package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Errors that callers decide on. A store wraps them with what it was doing.
var (
	// ErrClosed means that the store was closed or is not open yet.
	ErrClosed = errors.New("store is closed")
	// ErrFull means that a limit of the store (free disk, size, pending deliveries, unapplied journal) refuses new events for now, or
	// that its disk has so little room that nothing is written: then replays, cancellations and metadata are refused too, and outcomes wait.
	ErrFull = errors.New("store is full")
	// ErrFailed means that the store can no longer promise durability (a failed sync, damage) and refuses everything until it is reopened.
	ErrFailed = errors.New("store has failed")
	// ErrLeaseLost means that the delivery was settled, replayed or leased by somebody else in the meantime.
	ErrLeaseLost = errors.New("lease is lost")
	// ErrNotFound means that there is no such event or delivery.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge means that an event can never be stored, however empty the store is.
	ErrTooLarge = errors.New("event is too large")
	// ErrDamaged means that a record was found that does not match its checksum.
	ErrDamaged = errors.New("record is damaged")
)

// Store keeps events, dedup claims and deliveries. All methods are safe for concurrent use. A store may be local to one
// process or shared by many; nothing in this interface assumes either.
type Store interface {
	// Enqueue stores events in one commit and returns one receipt for each, in their order, once that commit is durable.
	//
	// An event whose dedup key was claimed within its window is not stored: its receipt names the original, and Enqueue
	// returns only when that original is durable. Within one call, a later event may be a duplicate of an earlier one. Duplicates alone are never ErrFull
	// for a limit that refuses new events.
	//
	// A claim lasts for the window that it was made with, by the store's clock, and outlives its event. Without a key or with a window of zero
	// no claim is made. Two deliveries of one event to the same destination are refused.
	//
	// The store takes over the events; the caller must not change them afterwards. If ctx ends first, Enqueue returns its error and the events may or
	// may not be stored: as after any error, the sender will try again and the dedup key keeps the two apart. Other errors: ErrFull, ErrFailed,
	// ErrClosed, ErrTooLarge; with them nothing was stored or promised.
	Enqueue(ctx context.Context, events []NewEvent) ([]Receipt, error)

	// Claim leases up to req.Limit due deliveries of one destination, oldest due first, until req.Now plus req.Lease. It never
	// leases two deliveries with the same order key, and none whose key has an older delivery that is not settled (unless that one stepped aside). It
	// returns at once, with none if nothing is due, and with them the moment at which to look again (zero: only when woken).
	// Deliveries whose lease has run out are claimed again.
	//
	// What is due at once counts as due since it was stored, replayed or given back; a backlog of those does not starve scheduled ones that
	// came due, nor the other way round. It may return fewer than Limit while more is due; next is then not after req.Now. Otherwise next is the
	// earliest schedule or end of a lease of that destination.
	//
	// The order within a key is that of OrderAt and then of the events' ids, so a replayed delivery takes its old place and holds up later ones, and one
	// that arrives late with an earlier OrderAt goes before those that wait; one that is leased at that moment finishes first. A delivery that stepped aside stays aside until it is settled for good or replayed: it holds up nobody
	// and waits for none but a leased one of its key. A lease that runs out changes nothing of this.
	//
	// A delivery whose event is damaged is not leased: the store makes it dead and counts it.
	Claim(ctx context.Context, req ClaimRequest) (claimed []Claimed, next time.Time, err error)

	// Settle ends leases: each attempt's record and the delivery's next state are one commit. It may return before they are
	// durable: a crash then leads to one more delivery, never to a lost one. The result has one error for each
	// settlement, in order, nil or ErrLeaseLost (another error if it names a state in which a lease cannot end); err is ErrClosed or ErrFailed
	// if none was taken. A lease that has run out can be settled as long as nobody claimed the delivery again. The store counts
	// the delivery's attempts and numbers their records.
	Settle(ctx context.Context, settlements []Settlement) (lost []error, err error)

	// Replay puts a delivery back to pending, due at once, with a fresh series of attempts, whatever its state; it makes the delivery if
	// the event has none for that destination. It bypasses dedup. It is durable when it returns. ErrNotFound if the event is gone.
	//
	// The order key is that of a delivery which it makes; one that is there keeps its own. Either way the delivery is marked as Replayed. Whoever has
	// it leased loses the lease. Number of attempts, their records, LastStatus and LastError stay.
	Replay(ctx context.Context, event ID, destination string, orderKey string) error

	// Cancel settles a pending or leased delivery as cancelled; a lease of it is lost. It is durable when it returns. A settled delivery stays as it is: ErrNotFound.
	//
	// The attempt of a leased one may be under way, so its order key stays taken until its holder settles the lease that is lost, or that would have run
	// out, or the delivery is replayed.
	Cancel(ctx context.Context, event ID, destination string) error

	// Wake returns a channel that receives the name of a destination whenever deliveries may have become due for it by
	// an enqueue, a replay or an unlocked order key. Names may repeat; when the channel is full they are dropped and an
	// empty name stands for "any". Only one consumer may read it. A settlement does not wake for the delivery it puts back: who settles
	// knows its Due. The channel is never closed.
	Wake() <-chan string

	// Close stops all writing, waits until everything accepted is durable, and frees the store. It is idempotent. From then on every method,
	// those of the optional interfaces too, returns ErrClosed. Leases end with it: after the next open their deliveries are due at once.
	Close() error
}

// ClaimRequest asks for due deliveries.
type ClaimRequest struct {
	Destination string
	Limit       int
	Now         time.Time
	Lease       time.Duration
}

// Inspector is what a store offers to look at its contents. Calls take time proportional to the answer, never to the history.
// An unknown event or delivery is ErrNotFound; a known one without deliveries or attempts has an empty list.
// They show everything that a call which returned before has changed.
type Inspector interface {
	// Event returns an event; ErrNotFound, ErrDamaged.
	Event(ctx context.Context, id ID) (*Event, error)
	// Deliveries returns the deliveries of an event, sorted by destination.
	Deliveries(ctx context.Context, id ID) ([]Delivery, error)
	// Attempts returns the attempts of a delivery, oldest first.
	Attempts(ctx context.Context, id ID, destination string) ([]Attempt, error)
	// Events returns events newest first. A page may be shorter than the limit, even empty, while there is more: the next cursor is
	// empty only at the end, so that a filter that matches little cannot make one call scan everything.
	Events(ctx context.Context, f Filter) (Page, error)
	// Stats returns counters kept at write time.
	Stats(ctx context.Context) (Stats, error)
}

// Filter selects events. The zero value of a field does not filter. Destination, Destinations, States and Error are asked of one and the same delivery.
// A malformed Type or Cursor is an error. Following the cursors shows every event that was there at the first page once, and
// none twice, whatever arrives meanwhile.
type Filter struct {
	ID          ID `json:",omitzero"` // the store's own id
	Source      string
	Provider    string
	Destination string // has a delivery to it
	// Destinations is Destination for several: has a delivery to one of them. Where both are set, the delivery is to Destination and that is one of them.
	Destinations []string
	Type         string    // a glob (MatchType)
	EventID      string    // the provider's id
	States       []State   // some delivery (to Destination, if set) is in one of them; StateHeld is not understood here
	Error        string    // class of some delivery's last failure; a delivered one has none
	Since        time.Time // received at or after
	Until        time.Time // received before
	Cursor       string
	Limit        int // default 50, at most 1000
}

// MatchesDelivery reports whether a delivery is what Destination, Destinations, States and Error ask for.
func (f *Filter) MatchesDelivery(d Delivery) bool {
	return f.MatchesDestination(d.Destination) && (len(f.States) == 0 || slices.Contains(f.States, d.State)) &&
		(f.Error == "" || d.LastError == f.Error && d.State != StateDelivered)
}

// MatchesDestination reports whether a destination is what Destination and Destinations ask for.
func (f *Filter) MatchesDestination(name string) bool {
	return (f.Destination == "" || name == f.Destination) && (len(f.Destinations) == 0 || slices.Contains(f.Destinations, name))
}

// Summary is an event of a page, without its payload, and its deliveries.
type Summary struct {
	Event      Event // Header and Body are nil
	Size       int   // of the body, in bytes
	Deliveries []Delivery
}

// Page is one answer of [Inspector.Events].
type Page struct {
	Events []Summary
	Next   string // cursor of the next page; empty at the end
}

// Stats are counters as of now.
type Stats struct {
	Sources      map[string]SourceStats
	Destinations map[string]DestinationStats // every destination that has or had deliveries
	Events       uint64                      // stored at present
	Bytes        int64                       // used on disk by the store
	FreeBytes    int64                       // free on its disk; -1 if that means nothing for this store
	Refusing     error                       // why no new events are accepted (ErrFull); nil if they are
}

// SourceStats counts what a source brought in over the store's life.
type SourceStats struct {
	Accepted  uint64
	LastEvent time.Time
}

// DestinationStats counts the deliveries of a destination.
type DestinationStats struct {
	Pending       uint64 // leased ones included
	Delivering    uint64
	Delivered     uint64    // over the store's life; each time counts, when it was replayed
	Dead          uint64    // at present
	Cancelled     uint64    // over the store's life
	OldestPending time.Time // when the oldest pending delivery's event was received; zero if none
	NextDue       time.Time // earliest scheduled retry; zero if none
}

// Retention says after which age history is pruned; zero keeps it. Events with pending deliveries are never pruned. An event with a dead
// delivery is kept for Dead, any other one, without deliveries too, for Delivered. The age counts from when it was received, or from when its last
// delivery was settled if the store prefers so: a store may keep an event longer than asked for, never shorter.
type Retention struct {
	Delivered time.Duration
	Dead      time.Duration
}

// Maintainer is a store that needs looking after. The engine's janitor calls it.
type Maintainer interface {
	// Maintain prunes history older than r allows and gives space back, in bounded steps. It returns how many events it removed.
	Maintain(ctx context.Context, now time.Time, r Retention) (pruned int, err error)
}

// Metadata is a small durable map beside the queue, for what must survive a restart and is not an event: paused destinations, replay
// jobs, secrets that a handshake brought, the audit log. Keys are printable and at most 200 bytes, values at most 64 KiB.
type Metadata interface {
	PutMeta(ctx context.Context, key string, value []byte) error // durable when it returns; a nil value deletes; over the limits: an error
	Meta(ctx context.Context, key string) ([]byte, error)        // ErrNotFound
	// ListMeta calls fn for each key with the prefix, in order, from the first key after `after` on, until it returns false.
	// fn may use the store, and keep the value.
	ListMeta(ctx context.Context, prefix, after string, fn func(key string, value []byte) bool) error
}
