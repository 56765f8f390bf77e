package caddymodule

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type senderKey struct{}

// Contexts of requests end at the deadline or a little earlier, never later, and not because the sender has gone.
func TestDeadlinesAreShared(t *testing.T) {
	const after = 6400 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		var d deadlines
		sender, leave := context.WithCancel(context.WithValue(t.Context(), senderKey{}, "octocat"))
		timers := map[<-chan struct{}]bool{}
		for i := range 1000 {
			began := time.Now().Add(time.Duration(i) * 10 * time.Millisecond)
			ctx := d.of(sender, began, after)
			at, ok := ctx.Deadline()
			if early := after - at.Sub(began); !ok || early < 0 || early > after/deadlineShare {
				t.Fatalf("the deadline is %v early (there is one: %v)", early, ok)
			}
			timers[ctx.Done()] = true
		}
		if len(timers) > 1000/10 {
			t.Errorf("1000 requests in ten seconds have %d timers", len(timers))
		}

		ctx := d.of(sender, time.Now(), after)
		leave()
		if ctx.Err() != nil || ctx.Value(senderKey{}) != "octocat" {
			t.Errorf("the sender has gone: %v, value %v", ctx.Err(), ctx.Value(senderKey{}))
		}
		child, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		at, _ := ctx.Deadline()
		<-child.Done()
		if !time.Now().Equal(at) || !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("ended at %v, want %v; %v, its child %v", time.Now(), at, ctx.Err(), child.Err())
		}
		for done := range timers {
			<-done
		}
	})
}

// A clock that was set back must not leave requests with the deadline of those before.
func TestDeadlinesAfterAClockThatWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadlines
		late, early := time.Now(), time.Now().Add(-time.Hour)
		before, after := d.of(t.Context(), late, time.Second), d.of(t.Context(), early, time.Second)
		at, _ := after.Deadline()
		if before.Done() == after.Done() || !at.Equal(early.Add(time.Second)) {
			t.Errorf("deadline %v for a request at %v", at, early)
		}
		<-before.Done()
		<-after.Done()
	})
}
