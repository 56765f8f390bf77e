package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// Ack is the answer to an accepted event, and to a duplicate of one.
type Ack struct {
	// A 2xx. Default: the provider's.
	Status int `json:"status,omitempty"`
	// The body. Default: the provider's.
	Body string `json:"body,omitempty"`
	// Answers with the destination's own 2xx if it comes within this time, of several destinations with the first; the event is stored first in any case, and delivered later
	// if no reply came. Default: never.
	Sync caddy.Duration `json:"sync,omitempty"`
}

// ackReply is an Ack with the provider's defaults filled in.
type ackReply struct {
	status      int
	contentType string
	header      map[string]string
	body        string
	noCookies   bool
	sync        time.Duration
}

func (h *Handler) provisionAck() error {
	spec := h.provider.Spec()
	reply := ackReply{
		status: spec.Ack.Status, contentType: spec.Ack.ContentType, header: spec.Ack.Headers, body: spec.Ack.Body, noCookies: spec.Ack.NoCookies,
	}
	if config := h.Ack; config != nil {
		if config.Status != 0 {
			if config.Status < 200 || config.Status > 299 {
				return fmt.Errorf("ack %d: want a status from 200 to 299", config.Status)
			}
			reply.status = config.Status
		}
		if config.Body != "" {
			if spec.Ack.Empty {
				return fmt.Errorf("ack: provider %s takes a body for a failure", h.Provider)
			}
			reply.body, reply.contentType = config.Body, ""
		}
		if reply.sync = time.Duration(config.Sync); reply.sync < 0 || reply.sync > h.rules.deadline {
			return fmt.Errorf("ack sync %s: want a time within the deadline of %s", reply.sync, h.rules.deadline)
		}
		if reply.sync > 0 && len(h.Forwards) == 0 {
			return errors.New("ack sync: there is no destination whose reply could be handed on")
		}
	}
	if reply.body != "" && reply.contentType == "" {
		reply.contentType = "text/plain; charset=utf-8"
		if carriesJSON("", []byte(reply.body)) {
			reply.contentType = "application/json"
		}
	}
	h.ackReply = reply
	return nil
}

// ack answers a request whose events are durable. result says whether they are new. With ackSync, it is the
// only place where a source writes a 2xx for events.
func (h *Handler) ack(ctx context.Context, w http.ResponseWriter, started time.Time, result string, waiter *replyWaiter) error {
	if waiter != nil && result == resultAccepted && h.ackSync(ctx, w, waiter) {
		h.countAck(result, started)
		return nil
	}
	if ctx.Err() != nil {
		// stored, but too late for the provider, who has counted a failure: it will send the event again, and that one is a duplicate
		return h.fail(w, nil, fmt.Errorf("answering: %w", ctx.Err()))
	}
	h.countAck(result, started)
	reply := &h.ackReply
	header := w.Header()
	for name, value := range reply.header {
		header.Set(name, value)
	}
	if reply.noCookies {
		header.Del("Set-Cookie")
	}
	if reply.body != "" {
		header.Set("Content-Type", reply.contentType)
	}
	if reply.status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(reply.body)))
	}
	w.WriteHeader(reply.status)
	if reply.body != "" {
		_, _ = w.Write([]byte(reply.body)) // a provider that is gone sends again, and that one is a duplicate
	}
	return nil
}

// countAck counts a 2xx.
func (h *Handler) countAck(result string, started time.Time) {
	took := now().Sub(started)
	h.count(result, took)
	h.meters.ack.Observe(took.Seconds())
}

// account logs what became of the events and returns the request's result.
func (h *Handler) account(w http.ResponseWriter, events []queue.NewEvent, receipts []queue.Receipt) string {
	h.tellEvents(events, receipts)
	h.logEvents(events, receipts)
	result := resultDuplicate
	for i, receipt := range receipts {
		message := "duplicate event"
		if !receipt.Duplicate {
			result, message = resultAccepted, "event accepted"
		}
		noteAccepted(w, result, &events[i], receipt)
		if c := h.logger.Check(zap.DebugLevel, message); c != nil {
			shown := h.app.shown(&events[i].Event)
			c.Write(zap.Stringer("event", receipt.ID), zap.String("event_id", shown.EventID), zap.String("type", shown.Type),
				zap.Int("deliveries", len(events[i].Deliveries)), zap.Strings("filtered", events[i].Filtered))
		}
	}
	return result
}
