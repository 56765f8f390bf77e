package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Forward sends a source's events to a destination. Several of them fan out: each is a delivery with a state of its own.
type Forward struct {
	// The name of a declared destination.
	Destination string `json:"destination,omitempty"`

	// A destination of this source alone, in place of a name.
	Inline *Destination `json:"inline,omitempty"`

	// Only events whose type matches one of these globs; `!glob` excludes. Default: all.
	Events []string `json:"events,omitempty"`

	// Only events for which this CEL expression over `event` (id, type, source, provider, subject, time, received_at, headers, data) is true. Default: all.
	When string `json:"when,omitempty"`

	// What is sent, in place of the destination's format.
	Format string `json:"format,omitempty"`

	// A jq program that makes the payload to send from the event's.
	Transform string `json:"transform,omitempty"`

	// Fetches more about an event before it is sent.
	Enrich *Enrich `json:"enrich,omitempty"`

	// Expressions whose values together are the order key: deliveries with the same key go out one at a time, oldest first. Default: no order.
	OrderBy []string `json:"order_by,omitempty"`

	// Holds events with an order key back for a moment, to put those into their own order that arrive out of it. Default: order of arrival.
	OrderWithin *OrderWithin `json:"order_within,omitempty"`

	// After how many failed attempts a delivery lets later ones of its key pass. Default: never.
	Park int `json:"park,omitempty"`

	destination *Destination
	filter      typeFilter
	when        *condition
	order       verifiers.Expr
	place       *orderPlace
	program     *transform
	provider    *verifiers.Provider // the source's
	at          caddyfile.Token     // where it stands in the Caddyfile

	signsAddress bool // the provider's signatures cover the address
}

// Enrich fetches JSON about an event and puts it into the payload before the event is sent. It is tried anew with every attempt.
type Enrich struct {
	// Address to GET: a template over {event.id}, {event.type}, {event.subject}, {json.<path>}, {header.<Name>} and {query.<name>} in its path and query.
	// Values are escaped; {path:json.<path>} stands for a value that is a path itself, whose slashes stay.
	URL string `json:"url"`
	// Headers of the request. Values may hold placeholders such as {env.API_KEY}.
	Headers map[string]string `json:"headers,omitempty"`
	// Path in the payload that receives the answer. Default: data.
	Into string `json:"into,omitempty"`

	request *enrichment
}

// provision makes the forward ready and adds its part to the destination.
func (f *Forward) provision(ctx caddy.Context, app *App, h *Handler) (err error) {
	if err := f.resolve(ctx, app, h.Name); err != nil {
		return err
	}
	f.provider = h.provider
	f.signsAddress = h.provider.Spec().Needs().PublicURL
	if err := f.destination.signer.signFor(h.provider); err != nil {
		return fmt.Errorf("destination %s: %w", f.destination.name, err)
	}
	if f.filter, err = newTypeFilter(f.Events); err != nil {
		return err
	}
	if f.When != "" {
		if f.when, err = newCondition(f.When); err != nil {
			return fmt.Errorf("when: %w", err)
		}
	}
	if f.Format != "" {
		if f.Format, err = checkFormat(f.Format, f.destination.Sign); err != nil {
			return err
		}
	}
	if f.Transform != "" {
		if f.program, err = newTransform(f.Transform); err != nil {
			return fmt.Errorf("transform: %w", err)
		}
	}
	if f.Enrich != nil {
		if err := f.Enrich.provision(h.logger); err != nil {
			return fmt.Errorf("enrich: %w", err)
		}
	}
	if len(f.OrderBy) > 0 {
		if f.order, err = parseExprs(f.OrderBy); err != nil {
			return fmt.Errorf("order by: %w", err)
		}
	}
	if f.OrderWithin != nil {
		if f.place, err = f.OrderWithin.provision(len(f.OrderBy) > 0); err != nil {
			return fmt.Errorf("order within: %w", err)
		}
	}
	return f.destination.addForward(h, f)
}

// resolve finds the named destination or provisions the inline one.
func (f *Forward) resolve(ctx caddy.Context, app *App, source string) (err error) {
	if f.Inline == nil {
		f.destination, err = app.declared(f.Destination)
		return err
	}
	if f.Destination != "" {
		return errors.New("has both a destination's name and an inline one")
	}
	if len(f.Inline.To) == 0 {
		return errors.New("inline destination has no address")
	}
	f.nameInline(source)
	if err := f.Inline.provision(ctx, app, f.Inline.name); err != nil {
		return fmt.Errorf("destination %s: %w", f.Inline.To[0], err)
	}
	return app.registerInline(f.Inline)
}

func (f *Forward) nameInline(source string) {
	f.destination = f.Inline
	f.Inline.name, f.Inline.source = inlineName(source, f.Inline.To[0]), source
}

// once refuses a forward to where one before it goes.
func (f *Forward) once(before []*Forward) error {
	for _, other := range before {
		if other.destination == f.destination || f.Inline != nil && other.Inline != nil && f.Inline.name == other.Inline.name {
			return errors.New("forwards to one destination twice: one delivery is all an event can have for a destination")
		}
	}
	return nil
}

// addForward notes how a source's events are to be sent to d. The same source again is a copy of it in another server.
func (d *Destination) addForward(h *Handler, f *Forward) error {
	d.app.mu.Lock()
	defer d.app.mu.Unlock()
	if other, ok := d.forwardBy[h.Name]; ok {
		mine, err1 := json.Marshal(f)
		theirs, err2 := json.Marshal(other)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("comparing: %w", err)
		}
		if string(mine) != string(theirs) {
			return fmt.Errorf("source %q forwards to destination %q twice: one delivery is all an event can have for a destination", h.Name, d.name)
		}
	}
	if f.Park > 0 {
		if d.policy.Order.Park > 0 && d.policy.Order.Park != f.Park {
			return fmt.Errorf("park %d: another source parks after %d at this destination, and all must agree", f.Park, d.policy.Order.Park)
		}
		d.policy.Order.Park = f.Park
	}
	d.forwardBy[h.Name] = f
	return nil
}

// passes reports whether an event goes to this destination. vars gives what conditions read, with the payload or without.
func (f *Forward) passes(e *queue.Event, budget *conditionBudget, vars func(payload bool) map[string]any, logger *zap.Logger) bool {
	if !f.filter.match(e.Type) {
		return false
	}
	if f.when == nil {
		return true
	}
	ok, err := f.when.match(budget, vars(f.when.payload))
	if err != nil {
		logger.Warn("condition failed; the event passes", zap.String("destination", f.destination.name), zap.String("event_type", f.destination.app.shown(e).Type),
			zap.String("when", f.when.text), zap.Error(err))
	}
	return ok
}
