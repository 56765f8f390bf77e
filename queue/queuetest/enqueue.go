package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var enqueueTests = []test{
	{"ReceiptsAreInOrder", func(e *env) {
		start := queue.ID(e.clock.Now().UnixMicro())
		last := queue.ID(0)
		for round := range 3 {
			for i, id := range e.fill(fmt.Sprint("r", round, "-"), 5) {
				if id <= last || id < start {
					e.Fatalf("round %d: event %d has the id %d after %d (store made at %d)", round, i, id, last, start)
				}
				last = id
			}
		}
	}},
	{"NoEvents", func(e *env) {
		if receipts := e.enqueue(); len(receipts) != 0 {
			e.Errorf("%d receipts for no events", len(receipts))
		}
	}},
	{"EventIsKeptAsItCame", keepEvent},
	{"SparseEventIsKept", keepSparseEvent},
	{"BodiesOfAllSizes", keepBodies},
	{"OneDeliveryPerDestination", func(e *env) {
		destinations := []string{"a", "a1", "b", strings.Repeat("long-", 20)}
		id := e.put(e.event("1", destinations...))[0]
		for _, d := range destinations {
			claimed := e.claimFrom(d, 5)
			e.wantIDs(claimed, id)
			if c := claimed[0]; c.Delivery.Destination != d || c.Lease.Destination != d || c.Delivery.Event != id || c.Lease.Event != id {
				e.Errorf("claimed %+v from %q", c, d)
			}
		}
	}},
	{"EventWithoutDeliveries", func(e *env) {
		id := e.put(e.event("1"))[0]
		e.idle()
		ev, err := e.inspector().Event(e.Context(), id)
		e.must(err, "event")
		if ev.EventID != "1" {
			e.Errorf("event %+v", ev)
		}
	}},
	{"TwoDeliveriesToOneDestinationAreRefused", func(e *env) {
		_, err := e.store.Enqueue(e.Context(), []queue.NewEvent{e.event("1", dest), e.event("2", dest, dest)})
		if err == nil {
			e.Fatal("two deliveries of the same identity were taken")
		}
		for _, sentinel := range []error{queue.ErrFull, queue.ErrFailed, queue.ErrClosed, queue.ErrDamaged} {
			if errors.Is(err, sentinel) {
				e.Errorf("a caller's mistake is reported as %v", err)
			}
		}
		// Nothing of that call was stored, and its dedup keys are free.
		e.idle()
		e.put(e.event("1", dest), e.event("2", dest))
	}},
	{"LargeBatch", func(e *env) {
		ids := e.fill("b", 3000)
		e.wantIDs(e.claim(len(ids)), ids...)
	}},
}

// fullEvent has a value in every field.
func (e *env) fullEvent() queue.NewEvent {
	n := e.event("evt_1", dest)
	n.Event.Provider = "stripe"
	n.Event.Time = e.clock.Now().Add(-3 * time.Second).Truncate(time.Millisecond)
	n.Event.Subject = "customer/äöü"
	n.Event.Method = http.MethodPut
	n.Event.URL = "https://hooks.example.com/a?b=c&d=%20"
	n.Event.Header = http.Header{"Content-Type": {"application/json"}, "X-Multi": {"one", "", "two, three"}, "X-Bytes": {"\xff\x00"}}
	n.Event.Body = []byte("{\"zero\":\"\x00\",\"high\":\"\xff\xfe\"}\r\n")
	n.Event.ClientIP = "2001:db8::1"
	n.Event.SecretIndex = 2
	n.Event.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	n.Event.TraceState = "vendor=value"
	n.Event.Filtered = []string{"other", "third"}
	n.Event.ReplayOf = 1234567890
	return n
}

func keepEvent(e *env) {
	n := e.fullEvent()
	want := n.Event
	want.Header = n.Header.Clone()
	want.Body = bytes.Clone(n.Body)
	want.ID = e.put(n)[0]
	e.sameEvent(e.claimOne(want.ID).Event, &want)
	in, ok := e.store.(queue.Inspector)
	if !ok {
		return
	}
	got, err := in.Event(e.Context(), want.ID)
	e.must(err, "event")
	e.sameEvent(got, &want)
}

// sameEvent compares all fields, times as instants.
func (e *env) sameEvent(got, want *queue.Event) {
	e.Helper()
	if !got.ReceivedAt.Equal(want.ReceivedAt) || !got.Time.Equal(want.Time) {
		e.Errorf("times %v and %v, want %v and %v", got.ReceivedAt, got.Time, want.ReceivedAt, want.Time)
	}
	g, w := *got, *want
	g.ReceivedAt, g.Time, w.ReceivedAt, w.Time = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if !reflect.DeepEqual(g, w) {
		e.Errorf("event\n%#v\nwant\n%#v", g, w)
	}
}

func keepSparseEvent(e *env) {
	id := e.put(queue.NewEvent{
		Event:      queue.Event{Source: "s", ReceivedAt: e.clock.Now(), EventID: "x", SecretIndex: -1},
		Deliveries: []queue.NewDelivery{{Destination: dest}},
	})[0]
	got := e.claimOne(id).Event
	if len(got.Header) != 0 || len(got.Body) != 0 || len(got.Filtered) != 0 {
		e.Errorf("header %v, body %q, filtered %v of an event that has none", got.Header, got.Body, got.Filtered)
	}
	if !got.Time.IsZero() || got.SecretIndex != -1 || got.Source != "s" || got.EventID != "x" || got.Type != "" || got.ReplayOf != 0 {
		e.Errorf("sparse event came back as %+v", got)
	}
}

func keepBodies(e *env) {
	sizes := []int{0, 1, 511, 512, 513, 1023, 1024, 4096, 65_535, 65_536, 1 << 20}
	events := make([]queue.NewEvent, len(sizes))
	bodies := make([][]byte, len(sizes))
	for i, size := range sizes {
		events[i] = e.event(fmt.Sprint("size", size), dest)
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(j*7 + i)
		}
		events[i].Body, bodies[i] = body, bytes.Clone(body)
	}
	ids := e.put(events...)
	claimed := e.claim(len(ids))
	e.wantIDs(claimed, ids...)
	for i, c := range claimed {
		if !bytes.Equal(c.Event.Body, bodies[i]) {
			e.Errorf("a body of %d bytes came back different, with %d bytes", sizes[i], len(c.Event.Body))
		}
	}
}
