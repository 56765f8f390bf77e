package queuetest

import (
	"fmt"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// patience is how long a test waits for what has to happen before it calls it missing.
const patience = 20 * time.Second

var wakeTests = []test{
	{"ByEnqueue", func(e *env) {
		e.put(e.event("1", "a", "b"))
		e.woken("a", "b")
		e.put(e.event("2", "b"))
		e.woken("b")
	}},
	{"ByReplay", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		e.quiet()
		e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
		e.woken(dest)
		e.must(e.store.Replay(e.Context(), id, "new", ""), "replay")
		e.woken("new")
	}},
	{"ByAnUnlockedKey", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"), e.ordered("4", "k"), e.ordered("5", "k"))
		steps := []func(c queue.Claimed){
			func(c queue.Claimed) { e.deliver(c) },
			func(c queue.Claimed) { e.die(c) },
			func(c queue.Claimed) { e.park(c, time.Hour) },
			func(c queue.Claimed) {
				e.must(e.store.Cancel(e.Context(), c.Event.ID, dest), "cancel")
				e.quiet()
				e.wantLost(queue.Settlement{Lease: c.Lease, State: queue.StatePending})
			},
		}
		for i, step := range steps {
			c := e.claimOne(ids[i])
			e.quiet()
			step(c)
			e.woken(dest)
		}
	}},
	{"ByAKeyThatIsFreeAgain", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.park(e.claimOne(ids[0]), time.Second)
		second := e.claimOne(ids[1])
		e.clock.Advance(time.Second)
		e.idle()
		e.quiet()
		e.retry(second, time.Hour)
		e.woken(dest)
		e.claimOne(ids[0])
	}},
	{"NothingIsMissedWhenFull", func(e *env) {
		const many = 3000
		names := make([]string, many)
		for i := range names {
			names[i] = fmt.Sprint("d", i)
		}
		for i := 0; i < many; i += 100 {
			e.put(e.event(fmt.Sprint(i), names[i:i+100]...))
		}
		e.woken(names...)
	}},
}

// quiet empties the wake channel. What was caused by calls before a wake that was waited for may still arrive: names may repeat.
func (e *env) quiet() {
	for {
		select {
		case <-e.store.Wake():
		default:
			return
		}
	}
}

// woken waits until each of the destinations was named, or "any" came.
func (e *env) woken(destinations ...string) {
	e.Helper()
	missing := map[string]bool{}
	for _, d := range destinations {
		missing[d] = true
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for len(missing) > 0 {
		select {
		case name := <-e.store.Wake():
			if name == "" {
				return
			}
			delete(missing, name)
		case <-timeout.C:
			e.Fatalf("%d of %d destinations were not named", len(missing), len(destinations))
		}
	}
}
