package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var settleTests = []test{
	{"NoSettlements", func(e *env) { e.settle() }},
	{"SettledForGood", func(e *env) {
		for _, state := range []queue.State{queue.StateDelivered, queue.StateDead, queue.StateCancelled} {
			id := e.put(e.event(state.String(), dest))[0]
			e.mustSettle(e.outcome(e.claimOne(id), state, 200, ""))
			e.clock.Advance(48 * time.Hour)
			e.idle()
			if _, ok := e.store.(queue.Inspector); !ok {
				continue
			}
			if d := e.delivery(id, dest); d.State != state || d.Attempts != 1 {
				e.Errorf("%+v, want it %s after 1 attempt", d, state)
			}
		}
	}},
	{"SettledAt", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		c := e.claimOne(id)
		e.clock.Advance(10 * time.Second)
		e.deliver(c)
		if d := e.delivery(id, dest); d.SettledAt.Sub(e.clock.Now()).Abs() > time.Second {
			e.Errorf("settled at %v, want about %v", d.SettledAt, e.clock.Now())
		}
	}},
	{"Retry", retry},
	{"RetryAtOnce", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.mustSettle(e.outcome(e.claimOne(id), queue.StatePending, 503, "status"))
		if c := e.claimOne(id); c.Delivery.Attempts != 1 {
			e.Errorf("%d attempts, want 1", c.Delivery.Attempts)
		}
	}},
	{"GivenBack", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for range 3 {
			c := e.claimOne(id)
			if d := c.Delivery; d.Attempts != 0 || d.SeriesTries != 0 || !d.FirstTry.IsZero() {
				e.Fatalf("giving a lease back spent an attempt: %+v", d)
			}
			e.giveBack(c)
		}
		c := e.claimOne(id)
		e.mustSettle(queue.Settlement{Lease: c.Lease, State: queue.StatePending, Due: e.clock.Now().Add(time.Hour)})
		e.idle()
		e.clock.Advance(time.Hour)
		e.deliver(e.claimOne(id))
	}},
	{"DeadWithoutATry", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.mustSettle(queue.Settlement{Lease: e.claimOne(id).Lease, State: queue.StateDead})
		e.idle()
		if d := e.delivery(id, dest); d.State != queue.StateDead || d.Attempts != 0 {
			e.Errorf("%+v, want it dead after no attempt", d)
		}
	}},
	{"OneLostLeaseDoesNotSpoilTheOthers", func(e *env) {
		e.fill("a", 3)
		claimed := e.claim(3)
		e.mustSettle(queue.Settlement{Lease: claimed[1].Lease, State: queue.StateDelivered})
		var all []queue.Settlement
		for _, c := range claimed {
			all = append(all, e.outcome(c, queue.StateDelivered, 200, ""))
		}
		lost := e.settle(all...)
		if lost[0] != nil || !errors.Is(lost[1], queue.ErrLeaseLost) || lost[2] != nil {
			e.Errorf("results %v, want the second one lost", lost)
		}
		e.clock.Advance(2 * leaseTime)
		e.idle()
	}},
	{"StatesThatEndNoLease", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		c := e.claimOne(id)
		for _, state := range []queue.State{0, queue.StateDelivering, queue.StateHeld, 99} {
			if err := e.settle(queue.Settlement{Lease: c.Lease, State: state})[0]; err == nil || errors.Is(err, queue.ErrLeaseLost) {
				e.Errorf("state %s: %v, want another error than a lost lease", state, err)
			}
		}
		e.deliver(c)
	}},
	{"AttemptsAreRecorded", recordAttempts},
	{"AttemptsAreNumbered", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for range 3 {
			s := e.outcome(e.claimOne(id), queue.StatePending, 500, "status")
			s.Attempt.Number = 0
			e.mustSettle(s)
		}
		attempts, err := e.inspector().Attempts(e.Context(), id, dest)
		e.must(err, "attempts")
		for i, a := range attempts {
			if a.Number != i+1 || len(attempts) != 3 {
				e.Errorf("attempt %d of %d has the number %d", i+1, len(attempts), a.Number)
			}
		}
	}},
	{"ManyAtOnce", func(e *env) {
		const n = 2000
		e.fill("a", n)
		claimed := e.claim(n)
		if len(claimed) != n {
			e.Fatalf("claimed %d of %d", len(claimed), n)
		}
		e.deliver(claimed...)
		e.clock.Advance(2 * leaseTime)
		e.idle()
	}},
}

func retry(e *env) {
	id := e.put(e.event("1", dest))[0]
	first := e.clock.Now()
	for n := 1; n <= 5; n++ {
		c := e.claimOne(id)
		s := e.outcome(c, queue.StatePending, 500+n, "status")
		s.Due = e.clock.Now().Add(time.Duration(n) * time.Minute)
		e.mustSettle(s)
		claimed, next := e.claimAll(dest, 1)
		if len(claimed) != 0 || !next.Equal(s.Due) {
			e.Fatalf("attempt %d: claimed %v, next %v, want none and %v", n, idsOf(claimed), next, s.Due)
		}
		e.clock.Advance(time.Duration(n)*time.Minute - time.Millisecond)
		e.idle()
		e.clock.Advance(time.Millisecond)
		c = e.claimOne(id)
		d := c.Delivery
		if d.Attempts != n || d.SeriesTries != n || d.LastStatus != 500+n || d.LastError != "status" || !d.FirstTry.Equal(first) {
			e.Fatalf("after attempt %d: %+v", n, d)
		}
		e.giveBack(c)
	}
	e.deliver(e.claimOne(id))
	e.clock.Advance(time.Hour)
	e.idle()
	if d := e.delivery(id, dest); d.Attempts != 6 || d.LastStatus != 200 || d.LastError != "" {
		e.Errorf("after the success: %+v", d)
	}
}

func recordAttempts(e *env) {
	id := e.put(e.event("1", dest, "other"))[0]
	inspector := e.inspector()
	var want []queue.Attempt
	for n := 1; n <= 6; n++ {
		c := e.claimOne(id)
		a := queue.Attempt{
			Number:   n,
			Trigger:  queue.TriggerRetry,
			At:       e.clock.Now(),
			Duration: time.Duration(n) * 17 * time.Millisecond,
			Status:   500 + n,
			Class:    "status",
			Error:    fmt.Sprintf("status %d %s", 500+n, strings.Repeat("é", n)),
			Response: bytes.Repeat([]byte{byte(n), 0xff}, n*40),
		}
		s := queue.Settlement{Lease: c.Lease, State: queue.StatePending}
		switch n {
		case 1:
			a.Trigger = queue.TriggerFirst
		case 3:
			a.Status, a.Class, a.Error, a.Response = 0, "dial", "connection refused", nil
		case 6:
			a.Status, a.Class, a.Error, a.Response, s.State = 204, "", "", nil, queue.StateDelivered
		}
		want = append(want, a)
		own := a
		own.Response = bytes.Clone(a.Response)
		s.Attempt = &own
		e.mustSettle(s)
		e.clock.Advance(time.Minute)
	}
	got, err := inspector.Attempts(e.Context(), id, dest)
	e.must(err, "attempts")
	e.sameAttempts(got, want)
	got, err = inspector.Attempts(e.Context(), id, "other")
	e.must(err, "attempts")
	e.sameAttempts(got, nil)
}

func (e *env) sameAttempts(got, want []queue.Attempt) {
	e.Helper()
	if len(got) != len(want) {
		e.Fatalf("%d attempts, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if !g.At.Equal(w.At) || !bytes.Equal(g.Response, w.Response) {
			e.Errorf("attempt %d: at %v with %x, want %v with %x", i+1, g.At, g.Response, w.At, w.Response)
		}
		g.At, w.At, g.Response, w.Response = time.Time{}, time.Time{}, nil, nil
		if !reflect.DeepEqual(g, w) {
			e.Errorf("attempt %d: %+v, want %+v", i+1, g, w)
		}
	}
}
