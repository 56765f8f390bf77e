package delivery

import (
	"sync"
	"sync/atomic"
)

// maxIdle bounds the goroutines that wait for an attempt to make.
const maxIdle = 64

// crew makes attempts. It uses its goroutines again: the stack of a new one would have to grow through an HTTP client's calls for each attempt.
type crew struct {
	stopping <-chan struct{} // closed when nobody is to wait any more
	next     chan worker     // without room: who sends has found somebody who waits
	idle     atomic.Int32
	members  sync.WaitGroup
}

func newCrew(stopping <-chan struct{}) *crew {
	return &crew{stopping: stopping, next: make(chan worker)}
}

// start has an attempt made, without waiting for it.
func (c *crew) start(w worker) {
	select {
	case c.next <- w:
	default:
		c.members.Go(func() { c.work(w) })
	}
}

// work makes attempts, one after the other, until there are enough who wait.
func (c *crew) work(w worker) {
	for more := true; more; w, more = c.another() {
		w.run()
	}
}

// another waits for an attempt; false if nobody is to wait any more, or there are enough who do.
func (c *crew) another() (w worker, ok bool) {
	defer c.idle.Add(-1)
	if c.idle.Add(1) > maxIdle {
		return worker{}, false
	}
	select {
	case w = <-c.next:
		return w, true
	case <-c.stopping:
		return worker{}, false
	}
}

// wait returns when all attempts are made. Nobody may start one any more, and stopping is closed.
func (c *crew) wait() { c.members.Wait() }
