package caddymodule

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// syncReply is a destination's answer that is handed to the provider.
type syncReply struct {
	status      int
	contentType string
	body        []byte
}

// replyWaiters holds the requests that wait for the first attempt of their event (`ack sync`). A request is known by its source and the provider's id, both of
// which exist before the event is stored: so the attempt cannot be faster than the wait.
type replyWaiters struct {
	mu      sync.Mutex
	waiting map[waiterKey]chan syncReply
}

type waiterKey struct{ source, eventID string }

var waiters = replyWaiters{waiting: make(map[waiterKey]chan syncReply)}

// expect begins to wait. The channel is nil if another request waits for the same event already. done must be called.
func (rw *replyWaiters) expect(source, eventID string) (ch <-chan syncReply, done func()) {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	key := waiterKey{source, eventID}
	if _, taken := rw.waiting[key]; taken {
		return nil, func() {}
	}
	c := make(chan syncReply, 1)
	rw.waiting[key] = c
	return c, func() {
		rw.mu.Lock()
		defer rw.mu.Unlock()
		delete(rw.waiting, key)
	}
}

// waited reports whether a request waits for the event's first answer.
func (rw *replyWaiters) waited(e *queue.Event) bool {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	_, ok := rw.waiting[waiterKey{e.Source, e.EventID}]
	return ok
}

// hand gives an answer to the request that waits for it, if one still does. Of several destinations, the first to answer wins.
func (rw *replyWaiters) hand(e *queue.Event, reply syncReply) {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	if c, ok := rw.waiting[waiterKey{e.Source, e.EventID}]; ok {
		select {
		case c <- reply:
		default:
		}
	}
}

// awaitReply begins to wait for the destination's answer, if the source hands it on.
func (h *Handler) awaitReply(events []queue.NewEvent) (<-chan syncReply, func()) {
	if h.ackReply.sync == 0 || len(events) != 1 {
		return nil, func() {}
	}
	return waiters.expect(h.Name, events[0].EventID)
}

// ackSync answers with the destination's own reply if it comes in time and is a 2xx; otherwise the caller acks, and delivery goes on.
func (h *Handler) ackSync(ctx context.Context, w http.ResponseWriter, replies <-chan syncReply) bool {
	timer := time.NewTimer(h.ackReply.sync)
	defer timer.Stop()
	select {
	case reply := <-replies:
		if reply.status < 200 || reply.status > 299 {
			return false
		}
		if reply.contentType != "" {
			w.Header().Set("Content-Type", reply.contentType)
		}
		if reply.status != http.StatusNoContent {
			w.Header().Set("Content-Length", strconv.Itoa(len(reply.body)))
		}
		w.WriteHeader(reply.status)
		_, _ = w.Write(reply.body) // a provider that is gone sends again, and that one is a duplicate
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
