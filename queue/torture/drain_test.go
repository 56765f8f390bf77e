package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// drainer settles the deliveries of one destination in every way there is. It is the only one that does, so the steps of a delivery are said in
// the order in which they happen.
type drainer struct {
	*writer
	destination string
	batches     int
	dead        []promisedDelivery // candidates for a replay
}

type promisedDelivery struct {
	id       queue.ID
	event    string
	attempts int
}

const (
	drainBatch = 64
	drainLease = time.Minute
	retryAfter = 50 * time.Millisecond
)

func (d *drainer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		claimed, _, err := d.store.Claim(ctx, queue.ClaimRequest{
			Destination: d.destination, Limit: drainBatch, Now: time.Now(), Lease: drainLease,
		})
		if err == nil && len(claimed) == 0 {
			pause(ctx, 5*time.Millisecond)
			continue
		}
		if err == nil {
			err = d.settle(ctx, claimed)
		}
		if err == nil {
			err = d.replayOrCancel(ctx)
		}
		if err != nil {
			if _, fatal := d.refused(ctx, err); fatal != nil {
				return fatal
			}
		}
	}
	return nil
}

// settle ends the leases. A settlement is durable when something that was written after it is: the store writes in order.
func (d *drainer) settle(ctx context.Context, claimed []queue.Claimed) error {
	settlements := make([]queue.Settlement, len(claimed))
	var touch, done []string
	for i, c := range claimed {
		if c.Event.EventID == "" || string(c.Event.Body) != string(bodyOf(c.Event.EventID, d.Largest)) {
			d.say(saysWrong, "claimed", c.Event.ID, c.Event.EventID, "with a body that is not its own")
		}
		s := settlement(c)
		settlements[i] = s
		if s.Attempt == nil {
			continue
		}
		about := []any{c.Event.EventID, d.destination, int(s.State), c.Delivery.Attempts + 1}
		touch, done = append(touch, sentence(saysTouch, about...)), append(done, sentence(saysDone, about...))
		if s.State == queue.StateDead {
			d.dead = append(d.dead, promisedDelivery{c.Event.ID, c.Event.EventID, c.Delivery.Attempts + 1})
		}
	}
	d.sayAll(touch)
	lost, err := d.store.Settle(ctx, settlements)
	if err != nil {
		return err
	}
	if err := errors.Join(lost...); err != nil {
		return err
	}
	d.batches++
	if err := d.store.PutMeta(ctx, "torture/"+d.destination, fmt.Append(nil, d.batches)); err != nil {
		return err
	}
	d.sayAll(done)
	return nil
}

// settlement makes up the outcome of a delivery.
func settlement(c queue.Claimed) queue.Settlement {
	s := queue.Settlement{
		Lease: c.Lease, State: queue.StateDelivered,
		Attempt: &queue.Attempt{Number: c.Delivery.Attempts + 1, Trigger: queue.TriggerFirst, At: time.Now(), Status: http.StatusOK},
	}
	switch rand.IntN(10) {
	case 0:
		s.State, s.Due = queue.StatePending, time.Now().Add(retryAfter)
		s.Attempt.Status, s.Attempt.Class = http.StatusBadGateway, "status"
	case 1:
		s.State = queue.StateDead
		s.Attempt.Status, s.Attempt.Class = http.StatusGone, "status"
	case 2:
		s.State, s.Attempt = queue.StatePending, nil // given back
	}
	return s
}

// replayOrCancel puts some dead deliveries back, and cancels some of those.
func (d *drainer) replayOrCancel(ctx context.Context) error {
	dead := d.dead
	d.dead = nil
	for i, p := range dead {
		if i == 2 {
			break
		}
		about := []any{p.event, d.destination, int(queue.StatePending), p.attempts}
		d.say(saysTouch, about...)
		err := d.store.Replay(ctx, p.id, d.destination, "")
		if errors.Is(err, queue.ErrNotFound) {
			continue // pruned meanwhile
		}
		if err != nil {
			return err
		}
		d.say(saysDone, about...)
		if i == 0 {
			continue
		}
		about[2] = int(queue.StateCancelled)
		d.say(saysTouch, about...)
		if err := d.store.Cancel(ctx, p.id, d.destination); err != nil {
			return err
		}
		d.say(saysDone, about...)
	}
	return nil
}
