package caddymodule

import (
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// count adds a request to the metrics and the rollup. took is the time to the answer; it matters for accepted ones.
func (h *Handler) count(result string, took time.Duration) {
	if c := h.meters.results[result]; c != nil {
		c.Inc()
	} else {
		h.app.metrics.requests.WithLabelValues(h.Name, h.provider.Spec().ID, result).Inc()
	}
	if rt := h.app.ready.Load(); rt != nil { // a gateway whose store is not open keeps no charts
		rt.rollup.request(h.Name, result, now(), took)
	}
}

// logEvents remembers what became of a request's events.
func (h *Handler) logEvents(events []queue.NewEvent, receipts []queue.Receipt) {
	rt := h.app.ready.Load()
	if rt == nil {
		return
	}
	for i, receipt := range receipts {
		e, result := &events[i], resultAccepted
		if receipt.Duplicate {
			result = resultDuplicate
		}
		shown := h.app.shown(&e.Event)
		rt.rollup.log.add(loggedRequest{
			At: e.ReceivedAt.UTC(), Source: h.Name, Provider: e.Provider, Result: result, Status: h.ackReply.status, ClientIP: e.ClientIP,
			Event: receipt.ID, EventID: shown.EventID, Type: shown.Type, Size: len(e.Body), DurationMS: milliseconds(now().Sub(e.ReceivedAt)),
		})
	}
}

// logRequest remembers a request that became no event. req is nil if it could not be read.
func (h *Handler) logRequest(req *verifiers.Request, result, reason string, status int) {
	rt := h.app.ready.Load()
	if rt == nil {
		return
	}
	entry := loggedRequest{At: now().UTC(), Source: h.Name, Provider: h.provider.Spec().ID, Result: result, Reason: reason, Status: status}
	if req != nil {
		entry.ClientIP, entry.Size = req.ClientIP, len(req.Body)
		entry.DurationMS = milliseconds(entry.At.Sub(req.At))
	}
	rt.rollup.log.add(entry)
}
