package caddymodule

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// syncReply is what became of an attempt whose answer a provider may wait for.
type syncReply struct {
	event       queue.ID
	destination string
	good        bool // a 2xx that came whole; only then is there more to it
	status      int
	contentType string
	body        []byte
}

// replyOf is the reply that a destination's answer makes. One that broke off, is larger than is read, or is encoded in a way that the provider may not have asked for
// is none that could be handed on.
func (d *Destination) replyOf(e *queue.Event, result delivery.Result, answer *recorder) syncReply {
	reply := syncReply{event: e.ID, destination: d.name}
	if answer == nil || result.Class != "" || result.Status < 200 || result.Status > 299 || answer.enough || answer.header.Get("Content-Encoding") != "" {
		return reply
	}
	reply.good, reply.status, reply.contentType, reply.body = true, result.Status, answer.header.Get("Content-Type"), answer.body.Bytes()
	return reply
}

// replyWaiters holds the requests that wait for the attempts of their event (`ack sync`). A request begins to wait before its event is stored, so that no attempt can
// be faster; all that is known then is its source and the provider's id, which other events may have, too.
type replyWaiters struct {
	mu      sync.Mutex
	waiting map[waiterKey][]*replyWaiter
}

type waiterKey struct{ source, eventID string }

var waiters = replyWaiters{waiting: make(map[waiterKey][]*replyWaiter)}

// replyWaiter is a request that waits. A nil one waits for nothing.
type replyWaiter struct {
	key     waiterKey
	event   queue.ID      // 0 until it is known
	replies []syncReply   // that have not been looked at; guarded by the lock of replyWaiters, as event is
	more    chan struct{} // has room for one
	left    []string      // destinations that have not answered
}

// expect begins to wait. leave must be called.
func (rw *replyWaiters) expect(e *queue.NewEvent) *replyWaiter {
	w := &replyWaiter{key: waiterKey{e.Source, e.EventID}, more: make(chan struct{}, 1)}
	for _, d := range e.Deliveries {
		w.left = append(w.left, d.Destination)
	}
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rw.waiting[w.key] = append(rw.waiting[w.key], w)
	return w
}

// leave ends the wait.
func (rw *replyWaiters) leave(w *replyWaiter) {
	if w == nil {
		return
	}
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rest := slices.DeleteFunc(rw.waiting[w.key], func(other *replyWaiter) bool { return other == w })
	if rw.waiting[w.key] = rest; len(rest) == 0 {
		delete(rw.waiting, w.key)
	}
}

// know tells under which id the event was stored.
func (rw *replyWaiters) know(w *replyWaiter, event queue.ID) {
	if w == nil {
		return
	}
	rw.mu.Lock()
	defer rw.mu.Unlock()
	w.event = event
}

// waited reports whether a request waits for an answer to the event, or may do so.
func (rw *replyWaiters) waited(e *queue.Event) bool {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	return slices.ContainsFunc(rw.waiting[waiterKey{e.Source, e.EventID}], func(w *replyWaiter) bool { return w.event == 0 || w.event == e.ID })
}

// hand gives a reply to the request that waits for it, and to those that do not know yet whether they do.
func (rw *replyWaiters) hand(e *queue.Event, reply syncReply) {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	for _, w := range rw.waiting[waiterKey{e.Source, e.EventID}] {
		if w.event != 0 && w.event != e.ID {
			continue
		}
		w.replies = append(w.replies, reply)
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}

// take returns the replies to the waiter's event that came meanwhile.
func (rw *replyWaiters) take(w *replyWaiter) []syncReply {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	replies := w.replies
	w.replies = nil
	return slices.DeleteFunc(replies, func(r syncReply) bool { return r.event != w.event })
}

// await returns the first good reply. There is none if the time is over or every destination has answered otherwise.
func (rw *replyWaiters) await(ctx context.Context, w *replyWaiter, patience time.Duration) (syncReply, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for len(w.left) > 0 {
		select {
		case <-w.more:
		case <-timer.C:
			return syncReply{}, false
		case <-ctx.Done():
			return syncReply{}, false
		}
		for _, reply := range rw.take(w) {
			if reply.good {
				return reply, true
			}
			w.left = slices.DeleteFunc(w.left, func(name string) bool { return name == reply.destination })
		}
	}
	return syncReply{}, false
}

// awaitReply begins to wait for the destinations' answers, if the source hands one on.
func (h *Handler) awaitReply(events []queue.NewEvent) *replyWaiter {
	if h.ackReply.sync == 0 || len(events) != 1 {
		return nil
	}
	return waiters.expect(&events[0])
}

// ackSync answers with a destination's own reply if a good one comes in time; otherwise the caller acks, and delivery goes on.
func (h *Handler) ackSync(ctx context.Context, w http.ResponseWriter, waiter *replyWaiter) bool {
	reply, ok := waiters.await(ctx, waiter, h.ackReply.sync)
	if !ok {
		return false
	}
	w.Header()["Content-Type"] = nil // without one it is not guessed
	if reply.contentType != "" {
		w.Header().Set("Content-Type", reply.contentType)
	}
	if reply.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(reply.body)))
	}
	w.WriteHeader(reply.status)
	_, _ = w.Write(reply.body) // a provider that is gone sends again, and that one is a duplicate
	return true
}
