package memstore

import (
	"context"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Claim implements [queue.Store].
func (s *Store) Claim(ctx context.Context, req queue.ClaimRequest) (claimed []queue.Claimed, next time.Time, err error) {
	if err := s.enter(ctx, "claim"); err != nil {
		return nil, time.Time{}, err
	}
	defer s.mu.Unlock()
	l := s.lanes[req.Destination]
	if l == nil {
		return nil, time.Time{}, nil
	}
	l.promote(req.Now)
	until := req.Now.Add(req.Lease)
	for len(claimed) < req.Limit {
		d := l.ready.top()
		if d == nil {
			break
		}
		s.token++
		l.lease(d, s.token, until)
		claimed = append(claimed, queue.Claimed{
			Lease:    queue.Lease{Event: d.Event, Destination: d.Destination, Token: d.token, Until: until},
			Delivery: d.Delivery,
			Event:    d.event.Event,
		})
	}
	return claimed, l.next(req.Now), nil
}
