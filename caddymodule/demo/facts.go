package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// facts is what the gateway's log says has happened.
type facts struct {
	mu         sync.Mutex
	changed    chan struct{} // closed and made anew with every fact
	events     map[string]*eventFacts
	duplicates int
	refusals   []refusal
	breaker    map[string]string // state by destination
	notes      map[string][]string
}

// eventFacts is an accepted event.
type eventFacts struct {
	id         string // the gateway's
	source     string
	eventID    string // the provider's
	accepted   bool   // its acceptance was seen, not only one of its deliveries
	due        int    // how many deliveries it gave rise to
	deliveries map[string]*deliveryFacts
}

// deliveryFacts is one of its deliveries.
type deliveryFacts struct {
	state    string // empty while it goes on
	failures []string
}

// refusal is a request that did not get in.
type refusal struct {
	source, reason string
	status         int
}

func newFacts() *facts {
	return &facts{
		changed: make(chan struct{}), events: make(map[string]*eventFacts), breaker: make(map[string]string), notes: make(map[string][]string),
	}
}

// expect says what the story knows about the next request to a source, for the line that tells what became of it.
func (f *facts) expect(source, note string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes[source] = append(f.notes[source], note)
}

// apply takes a line of the log and returns the story's note on it. It reports false for a line that tells nothing new.
func (f *facts) apply(e *entry) (note string, news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e.Message {
	case msgAccepted:
		event := f.event(e)
		event.accepted, event.due = true, e.Deliveries
		note = f.note(e.Source)
	case msgDuplicate:
		f.duplicates++
		note = f.note(e.Source)
	case msgRefused, msgNotStored:
		f.refusals = append(f.refusals, refusal{source: e.Source, reason: e.Reason, status: e.Status})
		note = f.note(e.Source)
	case msgFailed:
		d := f.delivery(e)
		d.failures = append(d.failures, e.Class)
	case msgDelivered:
		f.delivery(e).state = "delivered"
	case msgDead:
		f.delivery(e).state = "dead"
	case msgBreaker:
		if f.breaker[e.Destination] == e.To { // the engine and its observer both log it
			return "", false
		}
		f.breaker[e.Destination] = e.To
	default:
		return "", true
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return note, true
}

func (f *facts) note(source string) string {
	notes := f.notes[source]
	if len(notes) == 0 {
		return ""
	}
	f.notes[source] = notes[1:]
	return notes[0]
}

// event finds an event. A delivery may be reported before its acceptance: the two are logged by different goroutines.
func (f *facts) event(e *entry) *eventFacts {
	event, ok := f.events[e.Event]
	if !ok {
		event = &eventFacts{id: e.Event, source: e.Source, eventID: e.EventID, deliveries: make(map[string]*deliveryFacts)}
		f.events[e.Event] = event
	}
	return event
}

func (f *facts) delivery(e *entry) *deliveryFacts {
	event := f.event(e)
	d, ok := event.deliveries[e.Destination]
	if !ok {
		d = new(deliveryFacts)
		event.deliveries[e.Destination] = d
	}
	return d
}

// await waits until a condition holds. It is called with the lock held.
func (f *facts) await(ctx context.Context, what string, condition func() bool) error {
	for {
		f.mu.Lock()
		holds, changed := condition(), f.changed
		f.mu.Unlock()
		if holds {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		}
	}
}

// find returns the event with a provider's id. The lock is held.
func (f *facts) find(source, eventID string) *eventFacts {
	for _, event := range f.events {
		if event.source == source && event.eventID == eventID {
			return event
		}
	}
	return nil
}

// state of a delivery of an event; empty if it goes on. The lock is held.
func (f *facts) state(source, eventID, destination string) string {
	event := f.find(source, eventID)
	if event == nil || event.deliveries[destination] == nil {
		return ""
	}
	return event.deliveries[destination].state
}

// settled reports whether nothing goes on with n accepted events. The lock is held.
func (f *facts) settled(n int) bool {
	accepted := 0
	for _, event := range f.events {
		if !event.accepted {
			return false
		}
		accepted++
		done := 0
		for _, d := range event.deliveries {
			if d.state != "" {
				done++
			}
		}
		if done < event.due {
			return false
		}
	}
	return accepted >= n
}

// failed counts the attempts for a destination that failed in a certain way. The lock is held.
func (f *facts) failed(destination, class string) (n int) {
	for _, event := range f.events {
		if d := event.deliveries[destination]; d != nil {
			for _, c := range d.failures {
				if c == class {
					n++
				}
			}
		}
	}
	return n
}

// all returns the accepted events in the order of their ids.
func (f *facts) all() []*eventFacts {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*eventFacts
	for _, id := range slices.Sorted(maps.Keys(f.events)) {
		out = append(out, f.events[id])
	}
	return out
}
