package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
)

// Event returns all about one event but its payload. id is the gateway's or the provider's, see find.
func (g *gateway) Event(ctx context.Context, id, source string) (eventDetail, error) {
	own, others, err := g.find(ctx, id, source)
	if err != nil {
		return eventDetail{}, err
	}
	e, err := g.inspect.Event(ctx, own)
	if err != nil {
		return eventDetail{}, fmt.Errorf("event %s: %w", own, err)
	}
	deliveries, err := g.inspect.Deliveries(ctx, own)
	if err != nil {
		return eventDetail{}, fmt.Errorf("event %s: %w", own, err)
	}
	privacy, err := g.privacy(ctx, e.Source, e.Provider)
	if err != nil {
		return eventDetail{}, err
	}
	detail := eventDetail{
		eventView: g.view(e, len(e.Body), deliveries), Method: e.Method, URL: privacy.address(e.URL, queryIsPayload(e.Method, len(e.Body))), Header: privacy.header(e.Header),
		ClientIP: e.ClientIP, TraceParent: e.TraceParent, PayloadHidden: privacy.Redact, SameProviderIDs: others,
	}
	if e.SecretIndex >= 0 {
		detail.SecretIndex = &e.SecretIndex
	}
	for i := range detail.Deliveries {
		d := &detail.Deliveries[i]
		if d.History, err = g.history(ctx, e, d.Destination, privacy); err != nil {
			return eventDetail{}, err
		}
	}
	return detail, nil
}

// history returns the attempts of a delivery.
func (g *gateway) history(ctx context.Context, e *queue.Event, destination string, p *privacy) ([]attemptView, error) {
	attempts, err := g.inspect.Attempts(ctx, e.ID, destination)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return nil, fmt.Errorf("attempts of %s for %q: %w", e.ID, destination, err)
	}
	views := make([]attemptView, len(attempts))
	for i := range attempts {
		a := &attempts[i]
		views[i] = attemptView{
			Number: a.Number, Trigger: a.Trigger.String(), At: a.At.UTC(), DurationMS: float64(a.Duration.Microseconds()) / 1000,
			Status: a.Status, Class: a.Class, Error: a.Error, Response: p.response(a.Response),
		}
	}
	return views, nil
}

// payloadView is the payload of an event, as it may be shown.
type payloadView struct {
	Body        []byte
	ContentType string // of the request, or of the normalised form
	Masked      bool   // parts of it were replaced
}

// The forms of a payload.
const (
	payloadRaw        = "raw"        // the untouched bytes, but for what is masked
	payloadNormalised = "normalised" // the CloudEvents envelope that destinations get by default
)

// Payload returns an event's payload. errHidden if the source shows none, or if what must be masked cannot be found in it.
func (g *gateway) Payload(ctx context.Context, id, source, form string) (payloadView, error) {
	own, _, err := g.find(ctx, id, source)
	if err != nil {
		return payloadView{}, err
	}
	e, err := g.inspect.Event(ctx, own)
	if err != nil {
		return payloadView{}, fmt.Errorf("event %s: %w", own, err)
	}
	privacy, err := g.privacy(ctx, e.Source, e.Provider)
	if err != nil {
		return payloadView{}, err
	}
	body, contentType, masked, err := privacy.shownPayload(e)
	if err != nil {
		return payloadView{}, fmt.Errorf("payload of %s: %w", own, err)
	}
	if form != payloadNormalised {
		return payloadView{Body: body, ContentType: contentType, Masked: masked}, nil
	}
	envelope, err := structured(newCloudEvent(g.app.shown(e), contentType), body)
	if err != nil {
		return payloadView{}, fmt.Errorf("payload of %s: %w", own, err)
	}
	masked = masked || g.app.derived(e.Source, e.Provider).any()
	return payloadView{Body: envelope, ContentType: "application/cloudevents+json", Masked: masked}, nil
}

// cancelledView says which deliveries a cancellation ended, or would end.
type cancelledView struct {
	Event        queue.ID `json:"event"`
	Destinations []string `json:"destinations"`
	DryRun       bool     `json:"dry_run,omitempty"`
}

// Cancel ends the deliveries of an event that are not settled: to one destination, or to all if it is empty.
func (g *gateway) Cancel(ctx context.Context, id, destination string, dryRun bool) (cancelledView, error) {
	own, _, err := g.find(ctx, id, "")
	if err != nil {
		return cancelledView{}, err
	}
	deliveries, err := g.inspect.Deliveries(ctx, own)
	if err != nil {
		return cancelledView{}, fmt.Errorf("event %s: %w", own, err)
	}
	result, known := cancelledView{Event: own, Destinations: []string{}, DryRun: dryRun}, destination == ""
	for _, d := range deliveries {
		if destination != "" && d.Destination != destination {
			continue
		}
		known = true
		if d.State.Settled() {
			continue
		}
		if !dryRun {
			err := g.rt.store.Cancel(ctx, own, d.Destination)
			if errors.Is(err, queue.ErrNotFound) {
				continue // it was settled in the meantime
			}
			if err != nil {
				return result, fmt.Errorf("cancelling %s for %q: %w", own, d.Destination, err)
			}
		}
		result.Destinations = append(result.Destinations, d.Destination)
	}
	if !known {
		return result, fmt.Errorf("delivery of %s to %q: %w", own, destination, queue.ErrNotFound)
	}
	if !dryRun && len(result.Destinations) > 0 {
		g.audit(ctx, "cancel", own.String(), strings.Join(result.Destinations, " "))
	}
	return result, nil
}
