package caddymodule

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// normalise turns a verified request into its events, each with its dedup claim and a delivery for each destination that its filters let it pass to.
func (h *Handler) normalise(ctx context.Context, req *verifiers.Request, proof verifiers.Proof, r *http.Request) ([]queue.NewEvent, error) {
	identities, err := h.provider.Identify(req, h.rules.split)
	if err != nil {
		return nil, err
	}
	header := withoutHopByHop(req.Header)
	address := req.URL
	if h.token != nil {
		address = h.token.hide(address)
	}
	budget := &conditionBudget{of: ctx}
	defer budget.end()
	events := make([]queue.NewEvent, len(identities))
	for i, id := range identities {
		body := id.Body
		if body == nil {
			body = req.Body
		}
		e := &events[i]
		e.Event = queue.Event{
			Source: h.Name, Provider: h.provider.Spec().ID, ReceivedAt: req.At.Truncate(time.Millisecond),
			EventID: id.EventID, Type: id.Type, Time: id.Time, Subject: id.Subject,
			Method: req.Method, URL: address.String(), Header: header, Body: body,
			ClientIP: req.ClientIP, SecretIndex: proof.SecretIndex,
			TraceParent: r.Header.Get("Traceparent"), TraceState: strings.Join(r.Header.Values("Tracestate"), ","), // it may come in parts
		}
		h.claimKey(e, req, id)
		h.route(e, budget)
	}
	return events, nil
}

// claimKey sets what makes the event unique: the provider's key, or what the configuration says, and both where that does not tell the event from others.
func (h *Handler) claimKey(e *queue.NewEvent, req *verifiers.Request, id verifiers.Identity) {
	if h.rules.dedupOff {
		return
	}
	e.DedupKey, e.DedupWindow = id.DedupKey, h.rules.dedupWindow
	if h.rules.dedupBy == nil {
		return
	}
	element := *req
	element.Body = e.Body
	key := h.rules.dedupBy.EventKey(&element)
	isElement := id.Body != nil
	shared := !key.Whole || isElement && !key.OfBody // other events may have the same
	switch {
	case key.Value == "", shared && id.DedupKey == "":
	case shared:
		e.DedupKey = key.With(id.DedupKey)
	default:
		e.DedupKey = key.Value
	}
}

// route decides where the event goes. What a filter keeps from a destination is noted on the event.
func (h *Handler) route(e *queue.NewEvent, budget *conditionBudget) {
	var vars map[string]any
	whole := withPayload(&e.Event)
	lazyVars := func(payload bool) map[string]any {
		if vars == nil {
			vars = eventVars(whole)
		}
		if payload && vars["data"] == nil {
			vars["data"] = payloadValue(whole.Header, whole.Body)
		}
		return vars
	}
	for _, f := range h.Forwards {
		name := f.destination.name
		if !f.passes(&e.Event, budget, lazyVars, h.logger) {
			e.Filtered = append(e.Filtered, name)
			continue
		}
		e.Deliveries = append(e.Deliveries, f.delivery(&e.Event))
	}
}

// orderKey is the value of `order by` for an event; empty without one.
func (f *Forward) orderKey(e *queue.Event) string {
	if len(f.OrderBy) == 0 {
		return ""
	}
	return f.order.Eval(storedRequest(e))
}

// storedRequest is an event in the form in which expressions read it.
func storedRequest(e *queue.Event) *verifiers.Request {
	return &verifiers.Request{
		Method: e.Method, URL: parseStoredURL(e.URL), Header: e.Header, Body: e.Body, At: e.ReceivedAt, ClientIP: e.ClientIP, Source: e.Source,
	}
}
