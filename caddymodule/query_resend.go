package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// maxResendBody bounds an edited payload; the source's own limit counts too.
const maxResendBody = 64 << 20

// resendOrder says where a copy of an event with another payload goes.
type resendOrder struct {
	Source      string // where sources share ids of the provider
	Destination string // only where the event had a delivery to this one
	To          string // another destination, instead of those of the event
	DryRun      bool
}

// resendView is what became of it.
type resendView struct {
	ID           queue.ID `json:"id,omitzero"` // of the new event; absent of a dry run
	ReplayOf     queue.ID `json:"replay_of"`
	Type         string   `json:"type,omitempty"` // of the new event, which its payload may have changed
	Size         int      `json:"size"`
	Destinations []string `json:"destinations"`
	DryRun       bool     `json:"dry_run,omitempty"`
}

// resendAudit is what the audit log says about it: enough to tell which payload it was, and nothing of the payload.
type resendAudit struct {
	ReplayOf     queue.ID `json:"replay_of"`
	Destinations []string `json:"destinations"`
	WasSHA256    string   `json:"was_sha256"`
	SHA256       string   `json:"sha256"`
	Size         int      `json:"size"`
}

// Resend delivers an event with an edited payload: as a new event, which names the original. The original and its deliveries stay as they are.
func (g *gateway) Resend(ctx context.Context, id string, order resendOrder, payload []byte) (resendView, error) {
	own, _, err := g.find(ctx, id, order.Source)
	if err != nil {
		return resendView{}, err
	}
	original, err := g.inspect.Event(ctx, own)
	if err != nil {
		return resendView{}, fmt.Errorf("event %s: %w", own, err)
	}
	h := g.app.source(original.Source)
	if h != nil && int64(len(payload)) > h.rules.maxBody {
		return resendView{}, fmt.Errorf("%w: payload of %d bytes is larger than source %q takes (%d)", errBadQuery, len(payload), original.Source, h.rules.maxBody)
	}
	if queryIsPayload(original.Method, len(original.Body)) {
		if payload, err = editedQuery(payload); err != nil {
			return resendView{}, err
		}
	}
	e := queue.NewEvent{Event: edited(original, h, payload, now())}
	if e.Deliveries, err = g.resendTo(ctx, &e.Event, &order); err != nil {
		return resendView{}, err
	}
	view := resendView{ReplayOf: own, Type: g.app.shown(&e.Event).Type, Size: len(payload), Destinations: make([]string, len(e.Deliveries)), DryRun: order.DryRun}
	for i, d := range e.Deliveries {
		view.Destinations[i] = d.Destination
	}
	if order.DryRun {
		return view, nil
	}
	receipts, err := g.rt.store.Enqueue(ctx, []queue.NewEvent{e})
	if err != nil {
		return resendView{}, fmt.Errorf("storing the edited event: %w", err)
	}
	view.ID = receipts[0].ID
	detail, err := json.Marshal(resendAudit{
		ReplayOf: own, Destinations: view.Destinations, Size: view.Size,
		WasSHA256: fmt.Sprintf("%x", sha256.Sum256(withPayload(original).Body)), SHA256: fmt.Sprintf("%x", sha256.Sum256(payload)),
	})
	if err != nil {
		return resendView{}, fmt.Errorf("audit: %w", err)
	}
	g.audit(ctx, "resend", view.ID.String(), string(detail))
	return view, nil
}

// edited is a copy of an event with another payload. h is its source, nil if that is gone: then what the event is stays as it was.
func edited(original *queue.Event, h *Handler, payload []byte, at time.Time) queue.Event {
	e := *original
	e.ID, e.ReplayOf, e.ReceivedAt = 0, original.ID, at.Truncate(time.Millisecond)
	e.Body, e.Header, e.Filtered, e.SecretIndex = payload, original.Header.Clone(), nil, -1
	if queryIsPayload(original.Method, len(original.Body)) {
		address := *parseStoredURL(original.URL)
		address.RawQuery = string(payload)
		e.URL, e.Body = address.String(), nil
	}
	if e.Header.Get("Content-Length") != "" {
		e.Header.Set("Content-Length", strconv.Itoa(len(e.Body)))
	}
	if h == nil {
		return e
	}
	dropSignature(e.Header, h.provider.Spec())
	// a payload that the provider could not have sent is still one that an operator may want to send
	if ids, err := h.provider.Identify(storedRequest(&e), false); err == nil && len(ids) == 1 {
		e.EventID, e.Type, e.Time, e.Subject = ids[0].EventID, ids[0].Type, ids[0].Time, ids[0].Subject
	}
	return e
}

// editedQuery reads an edited payload as the query that it was: a form. An editor may have put an end of line behind it.
func editedQuery(payload []byte) ([]byte, error) {
	query := bytes.TrimRight(payload, "\r\n")
	strange := bytes.ContainsFunc(query, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' })
	if _, err := url.ParseQuery(string(query)); err != nil || strange || !bytes.Contains(query, []byte("=")) || verifiers.ValidJSON(query) {
		return nil, fmt.Errorf("%w: the event came by GET, its payload is the query: want a form such as a=1&b=2", errBadQuery)
	}
	if len(query) > http.DefaultMaxHeaderBytes {
		return nil, fmt.Errorf("%w: a query of %d bytes is larger than applications take (%d)", errBadQuery, len(query), http.DefaultMaxHeaderBytes)
	}
	return query, nil
}

// dropSignature removes what a provider's signature of another payload is in.
func dropSignature(header http.Header, spec *verifiers.Spec) {
	if spec.Signature.In != "" && spec.Signature.In != "header" {
		return
	}
	for _, name := range slices.Concat(spec.Signature.Names, spec.Signature.Legacy) {
		header.Del(name)
	}
}

// resendTo says where an edited event goes.
func (g *gateway) resendTo(ctx context.Context, e *queue.Event, order *resendOrder) ([]queue.NewDelivery, error) {
	if order.To != "" {
		d := g.app.allDestinations()[order.To]
		if d == nil {
			return nil, fmt.Errorf("%w: %q", delivery.ErrUnknownDestination, order.To)
		}
		return []queue.NewDelivery{{Destination: order.To, OrderKey: d.orderKey(e)}}, nil
	}
	before, err := g.inspect.Deliveries(ctx, e.ReplayOf)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", e.ReplayOf, err)
	}
	var to []queue.NewDelivery
	for i := range before {
		name := before[i].Destination
		if order.Destination != "" && order.Destination != name {
			continue
		}
		nd := queue.NewDelivery{Destination: name, OrderKey: before[i].OrderKey}
		if d := g.app.allDestinations()[name]; d != nil {
			nd.OrderKey = d.orderKey(e)
		}
		to = append(to, nd)
	}
	if len(to) == 0 {
		return nil, fmt.Errorf("%w: event %s has no delivery that could be made with another payload; say where to send it", errBadQuery, e.ReplayOf)
	}
	return to, nil
}
