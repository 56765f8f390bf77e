package badgerstore

import "fmt"

// addEvent writes an event that is in the journal. What does not fit the present transaction begins a new one.
func (a *applier) addEvent(p *pending) error {
	if err := a.room(a.eventCost(p)); err != nil {
		return err
	}
	for i := range p.deliveries {
		if err := a.addDelivery(p, &p.deliveries[i]); err != nil {
			return err
		}
	}
	return a.addRecord(p)
}

func (a *applier) addDelivery(p *pending, d *pendingDelivery) error {
	row := a.laneRow(d.lane)
	a.tx.lane(d.lane)
	row.pending++
	if !d.timed {
		b := a.touch(d.lane, blockOf(p.seq))
		b.add(p.seq, d.hash, d.at, p.enqueued)
		if d.hash != 0 {
			a.tx.later.bytes += blockKeyMost
		}
		return nil
	}
	key := scheduledKey(d.lane.id, d.at, p.seq)
	if err := a.tx.set(key, seal(key, scheduledValue(d.entry(p.seq)))); err != nil {
		return fmt.Errorf("apply delivery: %w", err)
	}
	key = openKey(d.lane.id, p.seq)
	if err := a.tx.set(key, seal(key, nil)); err != nil {
		return fmt.Errorf("apply delivery: %w", err)
	}
	row.lowDue, row.lowOpen = min(row.lowDue, d.at), min(row.lowOpen, p.seq)
	return nil
}

// addRecord writes an event without its deliveries.
func (a *applier) addRecord(p *pending) error {
	t := a.tx
	if err := t.set(eventKey(p.seq), p.record); err != nil {
		return fmt.Errorf("apply event: %w", err)
	}
	if p.claim.until != 0 {
		key := claimKey(p.claim.bucket, p.claim.hash)
		if err := t.set(key, seal(key, encodeClaim(p.seq, p.claim.until))); err != nil {
			return fmt.Errorf("apply dedup claim: %w", err)
		}
		if p.claim.until > a.state.buckets[p.claim.bucket] {
			a.state.buckets[p.claim.bucket] = roundUntil(p.claim.until)
			t.bucket(p.claim.bucket)
		}
	}
	src := a.state.sources[p.ev.Source]
	if src == nil {
		src = &sourceRow{}
		a.state.sources[p.ev.Source] = src
	}
	src.accepted++
	src.last = max(src.last, nanos(p.ev.ReceivedAt))
	t.source(p.ev.Source)
	a.state.events++
	a.state.seq = p.seq
	return a.addToZone(p)
}

// addApart writes rows that stand each for itself.
func (a *applier) addApart(muts []mut) error {
	for _, m := range muts {
		if err := a.room(a.s.mutCost(len(m.key), len(m.value))); err != nil {
			return err
		}
		if err := a.tx.set(m.key, m.value); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	return nil
}
