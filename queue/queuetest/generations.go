package queuetest

import (
	"fmt"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// manyGenerations works a little, leaves some leases open, and opens again, many times.
func manyGenerations(e *env) {
	want := map[queue.ID]bool{}
	for round := range 12 {
		for _, id := range e.fill(fmt.Sprint("g", round, "-"), 10) {
			want[id] = true
		}
		claimed := e.claim(8)
		for i, c := range claimed {
			switch i % 4 {
			case 0, 1:
				e.deliver(c)
				if !want[c.Event.ID] {
					e.Fatalf("%s was delivered before", c.Event.ID)
				}
				delete(want, c.Event.ID)
			case 2:
				e.retry(c, time.Duration(i)*time.Second)
			}
		}
		e.reopen()
		e.clock.Advance(time.Second)
	}
	e.clock.Advance(time.Hour)
	for _, id := range e.drain(dest, 7) {
		if !want[id] {
			e.Errorf("%s was delivered before", id)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		e.Errorf("%d events were lost", len(want))
	}
}
