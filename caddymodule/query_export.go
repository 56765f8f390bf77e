package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// exportBatch is how many events are listed at a time while an export goes on.
const exportBatch = 200

// exporter writes events, newest first.
type exporter struct {
	g       *gateway
	compact bool
	privacy map[derivedKey]*privacy
}

// Export writes what a filter selects to w, one CloudEvent in a line, and returns the cursor at which the next page goes on; it is empty at the end. With
// onePage, it stops after the filter's limit, and next is told the cursor before anything is written.
func (g *gateway) Export(ctx context.Context, f queue.Filter, compact, onePage bool, w io.Writer, next func(cursor string)) error {
	x := &exporter{g: g, compact: compact, privacy: map[derivedKey]*privacy{}}
	if f.Cursor == "" {
		g.audit(ctx, "export", f.Source, describeFilter(&f))
	}
	for {
		page, err := g.Events(ctx, f)
		if err != nil {
			return err
		}
		next(page.Next)
		for i := range page.Events {
			if err := x.write(ctx, &page.Events[i], w); err != nil {
				return err
			}
		}
		if f.Cursor = page.Next; onePage || page.Next == "" {
			return nil
		}
	}
}

func (x *exporter) write(ctx context.Context, v *eventView, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e, err := x.g.inspect.Event(ctx, v.ID)
	switch {
	case errors.Is(err, queue.ErrNotFound): // pruned a moment ago
		return nil
	case errors.Is(err, queue.ErrDamaged):
		return x.writeDamaged(v, w)
	case err != nil:
		return fmt.Errorf("event %s: %w", v.ID, err)
	}
	key := derivedKey{e.Source, e.Provider}
	p, ok := x.privacy[key]
	if !ok {
		if p, err = x.g.privacy(ctx, e.Source, e.Provider); err != nil {
			return err
		}
		x.privacy[key] = p
	}
	line, err := x.g.archive(e, v, p, x.compact)
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// writeDamaged writes what lists still know of an event that cannot be read.
func (x *exporter) writeDamaged(v *eventView, w io.Writer) error {
	e := queue.Event{ID: v.ID, Source: v.Source, Provider: v.Provider, EventID: v.EventID, Type: v.Type, Subject: v.Subject, Time: v.Time, ReceivedAt: v.ReceivedAt}
	a := archivedEvent{
		cloudEvent: newCloudEvent(&e, ""), GatewayID: v.ID.String(), ReceivedAt: v.ReceivedAt.UTC().Format(time.RFC3339Nano), Payload: payloadDamaged,
	}
	line, err := a.encode(nil, false)
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// describeFilter writes a filter for the audit log.
func describeFilter(f *queue.Filter) string {
	text := ""
	for _, part := range []struct{ name, value string }{
		{"provider", f.Provider}, {"destination", f.Destination}, {"type", f.Type}, {"id", f.EventID}, {"error", f.Error},
		{"since", stamp(f.Since)}, {"until", stamp(f.Until)},
	} {
		if part.value != "" {
			text += " " + part.name + "=" + part.value
		}
	}
	for _, state := range f.States {
		text += " state=" + state.String()
	}
	if text == "" {
		return "everything"
	}
	return text[1:]
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
