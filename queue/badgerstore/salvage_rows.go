package badgerstore

import (
	"errors"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// record returns an event's record, from elsewhere if the database's is broken.
func (v *salvage) record(seq uint64, rec []byte, err error) ([]byte, error) {
	if err == nil {
		if _, _, sound := splitEvent(rec, seq, true); sound {
			return slices.Clone(rec), nil
		}
		err = errors.New("its record does not match its checksum")
	}
	if elsewhere, ok := v.copies.read(seq); ok {
		return elsewhere, nil
	}
	return nil, err
}

// deliveries reads those of an event, with those of their attempts that have rows.
func (v *salvage) deliveries(seq uint64, states, attempts *bySeq) (found []carriedDelivery) {
	tries := map[uint16]map[int][]byte{}
	attempts.until(seq+1, func(of uint64, key, sealed []byte, err error) {
		value, sound := unseal(key, sealed)
		if of != seq || len(key) != 15 || err != nil || !sound {
			return
		}
		dest := be.Uint16(key[9:])
		if tries[dest] == nil {
			tries[dest] = map[int][]byte{}
		}
		tries[dest][int(be.Uint32(key[11:]))] = slices.Clone(value)
	})
	states.until(seq+1, func(of uint64, key, value []byte, err error) {
		d := readDelivery(key, slices.Clone(value), err)
		row := v.meta.applied.lanes[d.dest]
		if of != seq {
			if row != nil && d.err == nil {
				v.states[of] = append(v.states[of], carriedDelivery{destination: row.name, record: d.record})
			}
			return
		}
		if d.err != nil || row == nil {
			v.report.Uncertain++
			v.report.Source.add(Finding{Kind: "delivery", Event: eventName(seq), Text: "the state of one of its deliveries cannot be read: it is pending in the new store"})
			return
		}
		found = append(found, carriedDelivery{row.name, d.record, tries[d.dest]})
	})
	return found
}

func (v *salvage) event(seq uint64, rec []byte, states []carriedDelivery) error {
	p, err := v.c.event(seq, rec, states)
	if err != nil {
		return err
	}
	v.last = max(v.last, seq)
	v.taken.add(seq)
	v.report.Events++
	if p.claim.until > 0 {
		v.report.Claims++
	}
	if seq > v.meta.applied.seq {
		v.late++
		v.c.late[p.ev.Source]++
	}
	stated := map[string]bool{}
	for _, d := range states {
		stated[d.destination] = true
		if d.record.state.Settled() {
			v.report.Settled++
		} else {
			v.report.Pending++
		}
	}
	for i := range p.deliveries {
		if !stated[p.deliveries[i].lane.name] {
			v.report.Pending++
		}
	}
	return nil
}

// lose lists an event that cannot be read.
func (v *salvage) lose(seq uint64, rec []byte, reason error, states []carriedDelivery) {
	lost := LostEvent{ID: queue.ID(seq), Reason: reason.Error()}
	expected := 1
	if e, err := decodeEvent(rec, seq, false); err == nil {
		lost.Source, lost.EventID, lost.Type, lost.ReceivedAt = e.Source, e.EventID, e.Type, e.ReceivedAt
		expected = len(e.deliveries)
	}
	lost.Settled = len(states) >= expected && !slices.ContainsFunc(states, func(d carriedDelivery) bool { return !d.record.state.Settled() })
	if !lost.Settled {
		v.lost.add(seq)
	}
	v.report.LostCount++
	if len(v.report.Lost) < maxLost {
		v.report.Lost = append(v.report.Lost, lost)
	}
}

// claims carries the dedup claims that last, of events that are history. An event that is carried has made its own; one that is lost and was not delivered may be
// sent again by its provider.
func (v *salvage) claims() error {
	err := v.rows(tabClaim, func(key, value []byte) (failed, broken error) {
		d := decoder{b: value}
		c := loggedClaim{seq: d.fixed(), until: d.int()}
		if copy(c.hash[:], key[min(5, len(key)):]) < len(c.hash) || d.bad {
			return nil, queue.ErrDamaged
		}
		return v.claim(&c), nil
	})
	for _, table := range []byte{tabClaimLog, tabClaimPage} {
		err = errors.Join(err, v.rows(table, func(key, value []byte) (failed, broken error) {
			if !eachClaim(value, func(c *loggedClaim) {
				if failed == nil {
					failed = v.claim(c)
				}
			}) {
				broken = queue.ErrDamaged
			}
			return failed, broken
		}))
	}
	return err
}

func (v *salvage) claim(c *loggedClaim) error {
	seq := c.seq
	if !v.taken.has(seq) && !v.known.has(seq) && !v.pruned(seq) && !v.lost.has(seq) && v.states[seq] == nil && v.db.damaged {
		v.lose(seq, nil, errGone, nil)
		v.report.Missing -= min(v.report.Missing, 1)
	}
	if c.until <= v.c.now || v.lost.has(seq) || v.taken.has(seq) {
		return nil
	}
	v.report.Claims++
	return v.c.claim(c)
}

// metadata carries what queue.Metadata keeps.
func (v *salvage) metadata() error {
	return v.rows(tabUser, func(key, value []byte) (failed, broken error) {
		v.report.Metadata++
		return v.c.row(key, value), nil
	})
}

// rows calls fn for the readable rows of a table. broken is reported, failed ends it.
func (v *salvage) rows(table byte, fn func(key, value []byte) (failed, broken error)) error {
	var failed error
	err := v.meta.each([]byte{table}, otherTables[table], func(key, value []byte) (broken error) {
		if failed == nil {
			failed, broken = fn(slices.Clone(key), value)
		}
		return broken
	})
	return errors.Join(err, failed)
}
