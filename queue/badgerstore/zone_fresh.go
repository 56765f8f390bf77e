package badgerstore

// freshZone makes the rows of the zone that is being filled, from the events as they are written, so that none has to be read back. It has to see the zone from its
// first event on; of a zone that was begun before the store was opened, the rows are made in the background. Only the applier uses it.
type freshZone struct {
	next  uint64 // number of the event that it waits for; 0: none, until a zone begins
	draft *zoneDraft
}

// add takes in an event. It reports whether the zone is complete.
func (f *freshZone) add(p *pending) (complete bool) {
	if p.seq != f.next {
		*f = freshZone{}
		return false
	}
	f.next++
	for i := range p.deliveries {
		f.draft.addDest(p.deliveries[i].lane.id)
	}
	f.draft.add(p.seq, p.ev)
	return zoneOf(f.next) != zoneOf(p.seq)
}

// addToZone takes an event into the zone that is being filled, and writes the rows of that if it is the last one.
func (a *applier) addToZone(p *pending) error {
	f := &a.zone
	// Until what an older version left is deleted, so are the notes about later deliveries (zones.ready).
	if p.seq == zoneOf(p.seq)<<zoneBits && a.s.zones.ready.Load() {
		*f = freshZone{next: p.seq, draft: newZoneDraft()}
	}
	if !f.add(p) {
		return nil
	}
	o := &op{}
	f.draft.put(o, zoneOf(p.seq))
	*f = freshZone{}
	return a.addApart(o.muts)
}
