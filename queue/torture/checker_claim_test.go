package torture

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// duplicates sends some events again that are there.
func (c *checker) duplicates(ctx context.Context) error {
	tried := 0
	for id, s := range c.found {
		if tried++; tried > 50 {
			return nil
		}
		n, err := parseName(id)
		if err != nil {
			return err
		}
		receipts, err := c.store.Enqueue(ctx, []queue.NewEvent{n.event(c.Largest)})
		if errors.Is(err, queue.ErrFull) {
			return nil
		}
		if err != nil {
			return err
		}
		if r := receipts[0]; !r.Duplicate || r.ID != s.Event.ID {
			c.wrong("%s is there as %s and was stored again as %s", id, s.Event.ID, r.ID)
		}
	}
	return nil
}

// claim leases everything that is due, and compares it with what is pending.
func (c *checker) claim(ctx context.Context) error {
	now := time.Now()
	for _, d := range append([]string{kept}, drained...) {
		for {
			claimed, next, err := c.store.Claim(ctx, queue.ClaimRequest{Destination: d, Limit: 1000, Now: now, Lease: time.Hour})
			if err != nil {
				return err
			}
			for _, got := range claimed {
				c.claimed(d, got, now)
			}
			if c.Finish {
				if err := c.deliver(ctx, claimed); err != nil {
					return err
				}
			}
			if len(claimed) == 0 && (next.IsZero() || next.After(now)) {
				break
			}
		}
		if err := c.left(ctx, d, now); err != nil {
			return err
		}
	}
	return nil
}

// claimed checks a delivery that was leased: once, due, and none of its order key before it.
func (c *checker) claimed(destination string, got queue.Claimed, now time.Time) {
	id := got.Event.ID
	d, ok := c.pending[destination][id]
	if !ok {
		c.wrong("%s is claimed for %s and is not pending, or twice", got.Event.EventID, destination)
		return
	}
	if d.Due.After(now) {
		c.wrong("%s is claimed for %s before its time", got.Event.EventID, destination)
	}
	delete(c.pending[destination], id)
	if key := got.Delivery.OrderKey; key != "" {
		for other, o := range c.pending[destination] {
			if other < id && o.OrderKey == key {
				c.wrong("%s is claimed for %s before %s, which has the same order key", got.Event.EventID, destination, c.byID[other])
			}
		}
	}
}

// deliver settles what was claimed.
func (c *checker) deliver(ctx context.Context, claimed []queue.Claimed) error {
	settlements := make([]queue.Settlement, len(claimed))
	for i, got := range claimed {
		settlements[i] = queue.Settlement{Lease: got.Lease, State: queue.StateDelivered}
	}
	lost, err := c.store.Settle(ctx, settlements)
	return errors.Join(err, errors.Join(lost...))
}

// left looks at what could not be claimed: it has to wait for its time, or for an older one of its order key.
func (c *checker) left(ctx context.Context, destination string, now time.Time) error {
	ids := make([]queue.ID, 0, len(c.pending[destination]))
	for id := range c.pending[destination] {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	waiting := map[string]bool{}
	for _, id := range ids {
		d := c.pending[destination][id]
		if !d.Due.After(now) && (d.OrderKey == "" || c.Finish && !waiting[d.OrderKey]) {
			c.lost("%s is pending for %s and cannot be claimed", c.byID[id], destination)
		}
		waiting[d.OrderKey] = true
		if c.Finish {
			if err := c.store.Cancel(ctx, id, destination); err != nil {
				return err
			}
		}
	}
	return nil
}
