package caddymodule

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// derived says what of an event, beside its payload, would show something of the payload that its source hides. Lists, logs and traces have these fields without having the payload,
// so it is found out by the paths that the fields are read from, not by their values.
type derived struct {
	id, kind, time, subject bool
	order                   map[string]bool // the order key, by destination
	otherOrder              bool            // the order key of a destination that the source no longer forwards to
}

// any reports whether an event does not show all of its fields.
func (d *derived) any() bool { return d.id || d.kind || d.time || d.subject }

// derivedKey is what it depends on what of an event is shown.
type derivedKey struct{ source, provider string }

// metaTime is how long finding out what a source hid may take.
const metaTime = 5 * time.Second

// derived returns what events of a source hide beside their payload. It does not change while a configuration runs.
func (app *App) derived(source, provider string) *derived {
	if source == alertSource { // the gateway's own
		return new(derived)
	}
	key := derivedKey{source, provider}
	if known, ok := app.hidden.Load(key); ok {
		return known.(*derived)
	}
	d, sure := app.findDerived(source, provider)
	if sure {
		app.hidden.Store(key, d)
	}
	return d
}

// findDerived is sure unless the store could not be read; everything is hidden then.
func (app *App) findDerived(source, provider string) (d *derived, sure bool) {
	all := &derived{id: true, kind: true, time: true, subject: true, otherOrder: true}
	rt := app.ready.Load()
	if rt == nil {
		return all, false
	}
	g, h := &gateway{app: app, rt: rt, meta: rt.store}, app.source(source)
	ctx, cancel := context.WithTimeout(context.Background(), metaTime)
	defer cancel()
	p, err := g.privacy(ctx, source, provider)
	if err != nil {
		return all, false
	}
	d = &derived{order: map[string]bool{}, otherOrder: p.Redact || len(p.Mask) > 0}
	if h != nil {
		for _, f := range h.Forwards {
			d.order[f.destination.name] = len(f.OrderBy) > 0 && (p.hides(f.order, true, ofRequest) || p.hides(f.order, true, ofElement))
		}
	}
	spec := app.formerSpec(h, provider)
	if spec == nil { // nobody knows any more what was read from where
		masks := len(p.Mask) > 0
		d.id, d.kind, d.time, d.subject = masks, masks, masks, masks || p.Redact
		return d, true
	}
	d.add(p, spec, &spec.Event, ofRequest)
	if spec.Batch != nil {
		e, of := spec.Batch.Event, &spec.Event
		e.Type, e.Time, e.Subject = cmp.Or(e.Type, of.Type), cmp.Or(e.Time, of.Time), cmp.Or(e.Subject, of.Subject)
		d.add(p, spec, &e, ofElement)
	}
	return d, true
}

// formerSpec is what says where the fields of a source's events were read from, which may have come when it had another provider; nil if that is not known.
func (app *App) formerSpec(h *Handler, provider string) *verifiers.Spec {
	if h != nil && h.provider.Spec().ID == provider {
		return h.provider.Spec()
	}
	spec, err := app.providerSpec(provider)
	if err != nil || spec.ID == spec.Scheme { // the source itself said the rest
		return nil
	}
	return spec
}

// add adds what is hidden of events that e names.
func (d *derived) add(p *privacy, spec *verifiers.Spec, e *verifiers.Event, of reading) {
	d.id = d.id || p.hidesText(e.ID, spec, false, of)
	d.kind = d.kind || p.hidesText(e.Type, spec, false, of)
	d.time = d.time || p.hidesText(e.Time, spec, false, of)
	d.subject = d.subject || p.hidesText(e.Subject, spec, true, of)
}

func (p *privacy) hidesText(text string, spec *verifiers.Spec, redacted bool, of reading) bool {
	if text == "" {
		return false
	}
	expr, err := verifiers.ParseExpr(text)
	if err != nil { // the provider could read it
		return len(p.Mask) > 0 || redacted && p.Redact
	}
	if text != spec.MessageID && slices.ContainsFunc(expr.Places(), func(at verifiers.Place) bool { return at.Kind == "id" }) && p.hidesText(spec.MessageID, spec, redacted, ofRequest) {
		return true
	}
	return p.hides(expr, redacted, of)
}

// hides tells whether the value of an expression may hold something of a payload that is not shown. redacted says that a source without any payloads does not show it either: without
// their ids, types and times nobody could operate it.
func (p *privacy) hides(expr verifiers.Expr, redacted bool, of reading) bool {
	return slices.ContainsFunc(expr.Places(), func(at verifiers.Place) bool {
		switch at.Kind {
		case "json":
			return redacted && p.Redact || p.hidesPath(splitPath(at.Name), of)
		case "form":
			return redacted && p.Redact || p.hidesField(at)
		case "raw", "form_sorted":
			return redacted && p.Redact || len(p.Mask) > 0
		case "query", "query_sorted", "query_encoded", "url", "target", "canonical_request":
			return p.ByGet && (redacted && p.Redact || len(p.Mask) > 0 && (at.Name == "" || p.hidesField(at)))
		}
		return false // not of the payload, or its hash
	})
}

// hidesField tells whether what is read of a form's field may hold something that is masked.
func (p *privacy) hidesField(at verifiers.Place) bool {
	function, _, _ := strings.Cut(at.Funcs, ">")
	path, isJSON := strings.CutPrefix(function, "json:")
	var within []string // nothing: all of the field
	if isJSON {
		within = splitPath(path)
	}
	return slices.ContainsFunc(p.requestMasks(), func(mask string) bool {
		split := splitPath(mask)
		rest, whole := pathsInto([][]string{split}, at.Name, 0, false)
		return whole || mask == at.Name || len(rest) > 0 && pathsMeet(rest[0], within) || isJSON && pathsMeet(split, within)
	})
}

// pathsMeet tells whether one of the two paths may lead to something within what the other leads to. What is more than names in the second one (gjson's queries, modifiers and the like)
// may lead anywhere.
func pathsMeet(mask, path []string) bool {
	if len(mask) == 0 || len(path) == 0 || strings.ContainsAny(path[0], "(@|{[!") {
		return true
	}
	maskAny, pathAny := mask[0] == "*" || mask[0] == "#", strings.ContainsAny(path[0], "*?")
	switch {
	case (mask[0] == path[0] || maskAny || pathAny) && pathsMeet(mask[1:], path[1:]):
		return true
	case (isIndex(path[0]) || path[0] == "#" || pathAny) && !maskAny && pathsMeet(mask, path[1:]): // a mask's name looks into lists element by element
		return true
	}
	return (isIndex(mask[0]) || maskAny) && pathsMeet(mask[1:], path)
}

func isIndex(segment string) bool {
	_, err := strconv.ParseUint(segment, 10, 32)
	return err == nil
}

// shown returns an event with the fields hidden that would show something of the payload; the event itself if there are none.
func (app *App) shown(e *queue.Event) *queue.Event {
	d := app.derived(e.Source, e.Provider)
	if !d.any() {
		return e
	}
	out := *e
	out.EventID, out.Type, out.Subject = hideIf(d.id, e.EventID), hideIf(d.kind, e.Type), hideIf(d.subject, e.Subject)
	if d.time {
		out.Time = time.Time{}
	}
	return &out
}

// orderKey returns a delivery's order key as it may be shown.
func (d *derived) orderKey(delivery *queue.Delivery) string {
	hidden, known := d.order[delivery.Destination]
	return hideIf(hidden || !known && d.otherOrder, delivery.OrderKey)
}

func hideIf(hidden bool, value string) string {
	if hidden && value != "" {
		return maskText
	}
	return value
}
