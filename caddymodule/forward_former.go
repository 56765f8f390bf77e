package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-webhooks/sluice/queue"
)

// metaForward is where the store's metadata keeps how forwards shape events, so that those that are still to be delivered when a forward or its source leaves
// the configuration do not go out with what it would have left out.
const metaForward = "forward/"

// shape is what a forward makes of events. How it enriches them is not kept, because that may hold secrets.
type shape struct {
	Format    string `json:"format,omitempty"`
	Transform string `json:"transform,omitempty"`
	Enriched  bool   `json:"enriched,omitempty"`
	Lost      bool   `json:"lost,omitempty"` // the program was too long to be kept
}

const maxTransformKept = 10 << 10 // JSON may write each byte as six, and a metadata value takes 64 KiB

var errFormerForward = errors.New("the source no longer forwards here, and how it changed events was not kept: put the forward back, or cancel")

func metaForwardKey(source, destination string) string {
	return fmt.Sprintf("%s%x", metaForward, sha256.Sum256([]byte(source+"\x00"+destination))) // names together may be longer than a key
}

// keepForwards stores how the forwards of this configuration shape events.
func (app *App) keepForwards(ctx context.Context, meta queue.Metadata) error {
	for _, name := range sortedKeys(app.Destinations) { // an inline one leaves with its forward
		d := app.Destinations[name]
		for _, source := range sortedKeys(d.forwardBy) {
			if err := d.forwardBy[source].keep(ctx, meta, source); err != nil {
				return fmt.Errorf("forward from source %s to destination %s: %w", source, name, err)
			}
		}
	}
	return nil
}

func (f *Forward) keep(ctx context.Context, meta queue.Metadata, source string) error {
	is := shape{Format: f.Format, Transform: f.Transform, Enriched: f.Enrich != nil}
	if len(is.Transform) > maxTransformKept {
		is.Transform, is.Lost = "", true
	}
	var value []byte
	if is != (shape{}) {
		var err error
		if value, err = json.Marshal(is); err != nil {
			return err
		}
	}
	return putChanged(ctx, meta, metaForwardKey(source, f.destination.name), value)
}

// former is a forward that this configuration no longer has. What it never had, as in a replay from elsewhere, takes the destination's own format.
func (d *Destination) former(ctx context.Context, source string) (*Forward, error) {
	f := &Forward{destination: d}
	rt, err := d.app.acquire(ctx)
	if err != nil {
		return nil, err
	}
	value, err := rt.store.Meta(ctx, metaForwardKey(source, d.name))
	if errors.Is(err, queue.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	var was shape
	if err := json.Unmarshal(value, &was); err != nil {
		return nil, err
	}
	if was.Enriched || was.Lost {
		return nil, errFormerForward
	}
	f.Format, f.Transform = was.Format, was.Transform
	if f.Transform != "" {
		f.program, err = newTransform(f.Transform)
	}
	return f, err
}
