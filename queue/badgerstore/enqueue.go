package badgerstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// pending is an event on its way through the journal into Badger.
type pending struct {
	seq        uint64 // 0 until its group is written
	ev         *queue.Event
	record     []byte
	claim      dedupClaim
	enqueued   int64
	deliveries []pendingDelivery
	bytes      int   // of memory, roughly
	refusal    error // why it cannot be stored unless it is a duplicate

	group     *group
	continues bool // the next event of the group belongs to the same commit
}

type pendingDelivery struct {
	lane     *lane
	hash     uint64
	at       int64 // not before; only if that is later than when it was enqueued, or if it starts in the schedule
	timed    bool  // it starts in the schedule
	orderKey string
	wanted   int64
	place    int64 // OrderAt
}

func newPendingDelivery(l *lane, d *queue.NewDelivery, enqueued int64) pendingDelivery {
	pd := pendingDelivery{lane: l, hash: hashOrder(d.OrderKey), orderKey: d.OrderKey, wanted: nanos(d.NotBefore), place: nanos(d.OrderAt)}
	pd.at, pd.timed = start(d, enqueued)
	return pd
}

// entry is how a delivery that starts in the schedule stands there.
func (pd *pendingDelivery) entry(seq uint64) entry {
	return entry{due: pd.at, seq: seq, hash: pd.hash, at: pd.place, place: inScheduled}
}

const (
	maxSpaceWaiters = 4096
	spaceTimeout    = 2 * time.Second
)

// Enqueue implements [queue.Store].
func (s *Store) Enqueue(ctx context.Context, events []queue.NewEvent) ([]queue.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	defer s.leave()
	if len(events) == 0 {
		return nil, nil
	}
	now := s.clock()
	s.noteTime(now.UnixNano())
	batch, err := s.encodeAll(events, now)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	seen, err := s.lookUp(batch, now.UnixNano())
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	own, originals, err := s.submit(ctx, batch, seen, now.UnixNano())
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	if own != nil {
		if err := own.await(ctx); err != nil {
			return nil, err
		}
	}
	receipts := make([]queue.Receipt, len(batch))
	for i, p := range batch {
		receipts[i] = queue.Receipt{ID: queue.ID(seen[i].seq), Duplicate: seen[i].seq != 0 || originals[i] != nil}
		if o := originals[i]; o != nil {
			if err := o.group.await(ctx); err != nil {
				return nil, err
			}
			p = o
		}
		if seen[i].seq == 0 {
			receipts[i].ID = queue.ID(p.seq)
		}
	}
	return receipts, nil
}

// encodeAll makes the records of the events of one call.
func (s *Store) encodeAll(events []queue.NewEvent, now time.Time) ([]*pending, error) {
	batch := make([]*pending, len(events))
	total := 0
	for i := range events {
		p, err := s.encode(&events[i], now)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		batch[i] = p
		total += frameSize(len(p.record) + 16)
	}
	if int64(total)+segmentHeader > s.o.SegmentSize {
		return nil, fmt.Errorf("%w: %d bytes in one commit do not fit the journal", queue.ErrTooLarge, total)
	}
	return batch, nil
}

func (s *Store) encode(n *queue.NewEvent, now time.Time) (*pending, error) {
	p := &pending{ev: &n.Event, enqueued: now.UnixNano(), refusal: s.disk.accepts()}
	if n.DedupKey != "" && n.DedupWindow > 0 {
		p.claim = dedupClaim{hash: claimHash(n.Source, n.DedupKey), until: now.Add(n.DedupWindow).UnixNano()}
	}
	if len(n.Source) > maxName {
		return nil, fmt.Errorf("name of a source has %d bytes (want at most %d)", len(n.Source), maxName)
	}
	if len(n.Deliveries) > 0 {
		p.deliveries = make([]pendingDelivery, len(n.Deliveries))
	}
	for i := range n.Deliveries {
		d := &n.Deliveries[i]
		if slices.ContainsFunc(n.Deliveries[:i], func(o queue.NewDelivery) bool { return o.Destination == d.Destination }) {
			return nil, fmt.Errorf("two deliveries to destination %q", d.Destination)
		}
		lane, err := s.lanes.get(d.Destination, s.applier.appliedSeq()+1)
		if err != nil {
			return nil, err
		}
		if lane.full() {
			p.refusal = fmt.Errorf("%w: destination %q has as many pending deliveries as it may have", queue.ErrFull, d.Destination)
		}
		p.deliveries[i] = newPendingDelivery(lane, d, p.enqueued)
	}
	if len(n.Body)+eventHeader > s.o.MaxEventSize {
		return nil, fmt.Errorf("%w: body of %d bytes (limit %d)", queue.ErrTooLarge, len(n.Body), s.o.MaxEventSize)
	}
	p.record = encodeEvent(make([]byte, 0, eventHeader+512+len(n.Body)), n, p.enqueued, p.claim)
	if len(p.record) > s.o.MaxEventSize {
		return nil, fmt.Errorf("%w: %d bytes with its header (limit %d)", queue.ErrTooLarge, len(p.record), s.o.MaxEventSize)
	}
	p.bytes = len(p.record) + len(n.Body) + 512
	return p, nil
}

// submit decides which events are duplicates and puts the others into a group; nil if there are none. Of an event that is a duplicate
// of one that is on its way, originals has that one.
func (s *Store) submit(ctx context.Context, batch []*pending, seen []sighting, now int64) (own *group, originals []*pending, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.awaitSpace(ctx); err != nil {
		return nil, nil, err
	}
	if err := s.usable(); err != nil {
		return nil, nil, err
	}
	originals = make([]*pending, len(batch))
	news, bytes := make([]*pending, 0, len(batch)), 0
	for i, p := range batch {
		if p.claim.until != 0 && seen[i].seq == 0 {
			if originals[i] = s.claims.find(p.claim.hash, now); originals[i] == nil && seen[i].asOf < s.claims.floor {
				// What was in memory at the look-up may have moved to Badger since.
				if seen[i], err = s.lookUpOne(p, now); err != nil {
					s.claims.removeAll(news)
					return nil, nil, err
				}
			}
		}
		if seen[i].seq != 0 || originals[i] != nil {
			continue
		}
		if p.refusal != nil {
			s.claims.removeAll(news)
			return nil, nil, p.refusal
		}
		if p.claim.until != 0 {
			s.claims.add(p)
			s.buckets.note(dayOf(p.enqueued), &p.claim)
		}
		news = append(news, p)
		bytes += p.bytes
	}
	if len(news) == 0 {
		return nil, originals, nil
	}
	return s.join(news, bytes), originals, nil
}

// awaitSpace waits until the applier is not too far behind. The caller holds s.mu, which is released meanwhile.
func (s *Store) awaitSpace(ctx context.Context) error {
	in := &s.intake
	if in.bytes < s.o.MaxTail {
		return nil
	}
	if in.waiting >= maxSpaceWaiters {
		return fmt.Errorf("%w: too many events wait for the database to catch up", queue.ErrFull)
	}
	in.waiting++
	defer func() { in.waiting-- }()
	timeout := time.NewTimer(spaceTimeout)
	defer timeout.Stop()
	for in.bytes >= s.o.MaxTail {
		if in.space == nil {
			in.space = make(chan struct{})
		}
		space := in.space
		s.mu.Unlock()
		var err error
		select {
		case <-space:
			err = s.usable()
		case <-ctx.Done():
			err = ctx.Err()
		case <-timeout.C:
			err = fmt.Errorf("%w: the database does not keep up with what comes in", queue.ErrFull)
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}
