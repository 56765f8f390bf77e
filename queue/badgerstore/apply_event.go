package badgerstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// addEvent writes an event that is in the journal. What does not fit the present transaction begins a new one.
//
// An event that does not fit a whole one takes several: those before the last have nothing but deliveries of it, nobody is shown them, and the event does not count as
// applied. After a crash the journal still has it, and deliveries that have their rows already are passed.
func (a *applier) addEvent(p *pending) error {
	c := a.eventCost(p)
	if err := a.room(c); err != nil {
		return err
	}
	inParts := !a.tx.takes(c)
	for i := range p.deliveries {
		d := &p.deliveries[i]
		if inParts {
			if err := a.part(a.deliveryCost(p, d)); err != nil {
				return err
			}
		}
		if p.seq == a.begun && a.hasDelivery(p, d) {
			continue
		}
		if err := a.addDelivery(p, d); err != nil {
			return err
		}
	}
	if inParts {
		if err := a.part(a.s.recordCost(p.ev.Source, len(p.record))); err != nil {
			return err
		}
	}
	return a.addRecord(p)
}

// part writes what there is of an event so far if what comes next does not fit.
func (a *applier) part(next cost) error {
	if a.tx.empty() || a.tx.takes(next) {
		return nil
	}
	a.state.kept |= keptPart
	before := a.tx
	if err := a.write(before); err != nil {
		return err
	}
	a.tx = a.begin()
	a.tx.waiting, a.tx.unseen = before.waiting, slices.AppendSeq(before.unseen, maps.Keys(before.lanes))
	return nil
}

// passBegun gives up the number of an event of which there is a part and which the journal has lost, so that no other event gets its deliveries.
func (a *applier) passBegun() error {
	a.state.kept &^= keptPart
	a.state.seq++
	return a.tx.set(eventKey(a.state.seq), nil)
}

// hasDelivery reports whether a part of an event that was written before a crash had a delivery, and has counted it.
func (a *applier) hasDelivery(p *pending, d *pendingDelivery) bool {
	if !d.timed {
		return a.block(d.lane, blockOf(p.seq)).present&bitOf(p.seq) != 0
	}
	sn := a.s.snaps.get()
	defer a.s.snaps.put(sn)
	err := sn.read(scheduledKey(d.lane.id, d.at, p.seq), func([]byte) error { return nil })
	return !errors.Is(err, queue.ErrNotFound)
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
		if err := a.addClaim(p.seq, &p.claim); err != nil {
			return err
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
	a.state.kept &^= keptPart
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
