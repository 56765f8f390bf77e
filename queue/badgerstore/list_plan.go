package badgerstore

import (
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// narrow finds the destinations in question.
func (p *pager) narrow() {
	p.chosen = p.f.Destination != "" || len(p.f.Destinations) > 0
	for _, l := range p.s.lanes.all() {
		if p.f.MatchesDestination(l.name) {
			p.lanes = append(p.lanes, l)
		}
	}
}

// asks reports whether deliveries in a state may be what the filter wants.
func (p *pager) asks(state queue.State) bool {
	if p.f.Error != "" && state == queue.StateDelivered {
		return false
	}
	return len(p.f.States) == 0 || slices.Contains(p.f.States, state)
}

// candidates are those of the smallest tables that have all of what the filter wants: there are tables of dead letters and of what is not settled. Of what was
// delivered there is none but that of all events, which is left out where that never happened; of what was cancelled it is known in which zones.
func (p *pager) candidates() candidates {
	from := &merged{}
	if p.chosen && len(p.lanes) == 0 {
		return from
	}
	if len(p.f.States) == 0 && p.f.Error == "" {
		return p.events()
	}
	cancelled := false
	for _, l := range p.lanes {
		l.mu.Lock()
		delivered := p.asks(queue.StateDelivered) && l.delivered > 0
		cancelled = cancelled || p.asks(queue.StateCancelled) && l.cancelled > 0
		l.mu.Unlock()
		if delivered {
			return p.events()
		}
	}
	if cancelled {
		from.add(&cancelledRows{events: p.events(), zones: newZoneFilter(p, true)})
	}
	if p.asks(queue.StateDead) {
		from.add(p.dead())
	}
	for _, l := range p.lanes {
		switch {
		case p.asks(queue.StatePending):
			p.unsettled(from, l)
		case p.asks(queue.StateDelivering):
			from.add(l.leasedNow())
		}
	}
	return from
}

func (p *pager) events() candidates {
	return &tableRows{backward: p.sn.backward([]byte{tabEvent}), lowest: p.sn.lowest()}
}

// dead are the dead letters of the destinations in question.
func (p *pager) dead() candidates {
	wanted := map[uint16]bool{}
	for _, l := range p.lanes {
		l.mu.Lock()
		if l.dead > 0 {
			wanted[l.id] = true
		}
		l.mu.Unlock()
	}
	if len(wanted) == 0 {
		return new(numbers)
	}
	passed := 0
	return &tableRows{backward: p.sn.backward([]byte{tabDead}), skip: func(row *badger.Item) bool {
		if passed++; passed%skipCheck == 0 && p.ctx.Err() != nil {
			return false // run sees it too
		}
		key := row.Key()
		return len(key) == 11 && (!wanted[be.Uint16(key[9:])] || p.f.Error != "" && otherClass(row, p.f.Error))
	}}
}

// otherClass reports whether the row of a dead letter says that it died of something else. Rows of older versions do not say.
func otherClass(row *badger.Item, class string) (other bool) {
	err := row.Value(func(sealed []byte) error {
		value, sound := unseal(row.Key(), sealed)
		other = sound && len(value) > 0 && string(value) != class
		return nil
	})
	return err == nil && other
}

// skipCheck is how many rows that do not count are passed before somebody asks whether to go on.
const skipCheck = 4096

// unsettled adds what is pending or leased for a destination. A delivery that is in the FIFO still has not been attempted, so that it has no error.
func (p *pager) unsettled(to *merged, l *lane) {
	row, ok := p.sn.laneRow(l.id)
	if !ok {
		return
	}
	to.add(&openRows{backward: p.sn.backward(destTable(tabOpen, l.id, 0)), dest: l.id, low: row.lowOpen})
	if p.f.Error == "" {
		to.add(&fifoRows{backward: p.sn.backward(destTable(tabFIFO, l.id, 0)), sn: p.sn, dest: l.id, low: row.lowFIFO})
	}
}

// leasedNow lists the deliveries that are leased.
func (l *lane) leasedNow() candidates {
	l.mu.Lock()
	defer l.mu.Unlock()
	seqs := make(numbers, 0, len(l.leases))
	for seq := range l.leases {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return &seqs
}
