package queue

import (
	"fmt"
	"time"
)

// State of a delivery.
type State uint8

// The states of a delivery. StateHeld is never stored: see the package comment.
const (
	StatePending    State = iota + 1 // due now or at a later time
	StateDelivering                  // leased
	StateHeld                        // pending, and its destination takes nothing at present
	StateDelivered
	StateDead // gave up
	StateCancelled
)

var stateNames = [...]string{"", "pending", "delivering", "held", "delivered", "dead", "cancelled"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText implements [encoding.TextMarshaler].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *State) UnmarshalText(text []byte) (err error) {
	*s, err = ParseState(string(text))
	return err
}

// ParseState reads the name of a state.
func ParseState(name string) (State, error) {
	for i, n := range stateNames {
		if n == name && n != "" {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("unknown state %q (want pending, delivering, held, delivered, dead or cancelled)", name)
}

// Settled reports whether nothing more will happen to a delivery in this state by itself.
func (s State) Settled() bool { return s == StateDelivered || s == StateDead || s == StateCancelled }

// Delivery is one event for one destination. Its identity is the pair of Event and Destination.
type Delivery struct {
	Event       ID
	Destination string
	State       State
	OrderKey    string
	OrderAt     time.Time // place within its order key; zero: by the event's id (see NewDelivery)
	Attempts    int       // tries so far, those before a replay included
	Due         time.Time // when pending: not before; zero: at once
	FirstTry    time.Time // start of the present series of attempts (a replay starts a new one); zero before the first
	SeriesTries int       // attempts in the present series
	LastStatus  int       // HTTP status of the last attempt; 0 if it had none
	LastError   string    // class of the last failure (see Attempt.Class); empty on success
	SettledAt   time.Time // when it was delivered, dead or cancelled
	Replayed    bool      // it was put back by a replay at least once
}

// Trigger says why an attempt was made.
type Trigger uint8

// Triggers of an attempt.
const (
	TriggerFirst  Trigger = iota + 1 // the first try of a new event
	TriggerRetry                     // scheduled by the retry policy
	TriggerReplay                    // asked for by an operator
)

func (t Trigger) String() string {
	switch t {
	case TriggerFirst:
		return "first"
	case TriggerRetry:
		return "retry"
	case TriggerReplay:
		return "replay"
	}
	return fmt.Sprintf("trigger(%d)", uint8(t))
}

// MarshalText implements [encoding.TextMarshaler].
func (t Trigger) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Attempt is the record of one HTTP try of a delivery.
type Attempt struct {
	Number   int // from 1, over all series of the delivery
	Trigger  Trigger
	At       time.Time
	Duration time.Duration
	Status   int    // HTTP status; 0 if there was none
	Class    string // "" on success; "status", "timeout", "dial", "dns", "tls", "reset", "truncated", "protocol", "redirect", "transform", "enrich", "header", "internal"
	Error    string // what went wrong, without payload or secret; at most 200 bytes
	Response []byte // first bytes of the answer, at most 512
}

// Lease is the right to settle one delivery. It carries a fencing token: whoever lost it cannot settle.
type Lease struct {
	Event       ID
	Destination string
	Token       uint64
	Until       time.Time
}

// Claimed is a delivery that was leased, with its event.
type Claimed struct {
	Lease    Lease
	Delivery Delivery
	Event    *Event
}

// Settlement ends a lease.
type Settlement struct {
	Lease Lease

	// State is the delivery's next state: StateDelivered, StateDead, StateCancelled, or StatePending to try again at Due.
	State State
	Due   time.Time

	// Attempt is the record of the try that led here; nil if none was made (the lease is given back, and no attempt is spent).
	Attempt *Attempt

	// StepAside lets later deliveries with the same order key overtake this one while it waits (order by ... park).
	StepAside bool
}
