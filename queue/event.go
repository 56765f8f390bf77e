package queue

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ID identifies an event within a store and orders events by arrival. The store assigns it. A new store starts at the current
// time in microseconds, so that the ids of a store that was thrown away never come back.
type ID uint64

const idPrefix = "wh_"

// String is the form in which people and APIs see the id: "wh_" and the number in base 36.
func (id ID) String() string { return idPrefix + strconv.FormatUint(uint64(id), 36) }

// MarshalText implements [encoding.TextMarshaler].
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// ErrBadID means that a text is not an event id.
var ErrBadID = errors.New("not an event id")

// ParseID reads the form that [ID.String] writes.
func ParseID(s string) (ID, error) {
	digits, ok := strings.CutPrefix(s, idPrefix)
	n, err := strconv.ParseUint(digits, 36, 64)
	if !ok || err != nil || n == 0 {
		return 0, fmt.Errorf("%w: %q (want %sxxxxxxxxxx)", ErrBadID, s, idPrefix)
	}
	return ID(n), nil
}

// Event is a verified, deduplicated request that was accepted. It is immutable once enqueued.
type Event struct {
	ID         ID        // assigned by the store
	Source     string    // name of the configured source
	Provider   string    // the provider's id, such as "stripe"
	ReceivedAt time.Time // millisecond resolution

	EventID string    // the provider's id of the event; never empty (a hash of the body where the provider has none)
	Type    string    // the provider's type, verbatim; may be empty
	Time    time.Time // when it happened according to the provider; zero if unknown
	Subject string    // what it is about; may be empty

	Method string      // of the request
	URL    string      // absolute, as the sender saw it
	Header http.Header // as received, without hop-by-hop headers
	Body   []byte      // the untouched bytes

	ClientIP    string
	SecretIndex int    // which of the source's live secrets matched, from 0; -1 if none was needed
	TraceParent string // W3C trace context of the request that brought it
	TraceState  string

	Filtered []string // destinations that the source's filters kept it from
	ReplayOf ID       // set on an event made from another one (replay with an edited body)
}

// NewEvent is an event to be stored, with the claim that makes it unique and the deliveries it gives rise to.
type NewEvent struct {
	Event

	// DedupKey makes the event unique within its source for DedupWindow; an empty key means that it is never a duplicate.
	DedupKey    string
	DedupWindow time.Duration

	Deliveries []NewDelivery
}

// NewDelivery is one destination of a new event.
type NewDelivery struct {
	Destination string
	OrderKey    string    // deliveries of one destination with the same non-empty key go out one at a time, oldest first
	NotBefore   time.Time // zero: at once

	// OrderAt is the delivery's place within its order key, instead of that of its event's id: earlier ones go first, and equal ones by id. It is for
	// events that are held back a little and put into their own order, so such a delivery takes part in its key's order only from NotBefore on, and until
	// then it holds up nobody. All of a key's deliveries should have one, and NotBefores in the same order, as when all are held back for the same time after
	// OrderAt (which may have passed when they come). Where that is not so, the one that is due first may go first; otherwise those without it
	// go before those with it. It means nothing without a key.
	OrderAt time.Time
}

// Receipt says what became of one enqueued event.
type Receipt struct {
	ID        ID   // the event's id, or the id of the event it duplicates
	Duplicate bool // an event with the same dedup key was accepted before; nothing was stored
}
