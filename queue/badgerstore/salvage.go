package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// SalvageReport says what was carried into a new store, and what was not.
type SalvageReport struct {
	To     string `json:"to"`
	Source Report `json:"source"` // what was found in the store that was read

	Events    uint64 `json:"events"`    // carried
	Pending   uint64 `json:"pending"`   // deliveries carried that are not settled
	Settled   uint64 `json:"settled"`   // deliveries carried that are
	Claims    uint64 `json:"claims"`    // dedup claims carried
	Metadata  uint64 `json:"metadata"`  // carried
	Unlisted  uint64 `json:"unlisted"`  // of the events: those whose row in the database is lost, and that were found in the journal or the value log
	Uncertain uint64 `json:"uncertain"` // of the pending deliveries: those whose state could not be read, which may have been delivered before

	// LostRows are the kinds of rows that lay where the database's tables cannot be read: some may be lost, and nothing says which.
	LostRows []string `json:"lost_rows"`

	Missing   uint64      `json:"missing"`   // events that the store has counted and of which nothing is left
	Uncounted bool        `json:"uncounted"` // the store has lost its newest part or its bookkeeping: there may be more missing
	LostCount uint64      `json:"lost_count"`
	Lost      []LostEvent `json:"lost"` // at most 10000
}

// LostEvent is an event that cannot be read.
type LostEvent struct {
	ID         queue.ID  `json:"id"`
	Source     string    `json:"source,omitempty"` // empty, as what follows, if that cannot be read either
	EventID    string    `json:"event_id,omitempty"`
	Type       string    `json:"type,omitempty"`
	ReceivedAt time.Time `json:"received_at,omitzero"`
	Reason     string    `json:"reason"`
	Settled    bool      `json:"settled"` // its deliveries were settled, so that only history is lost
}

const maxLost = 10_000

// Salvage carries every readable event of a store that nobody has open into a new one, with the states of its deliveries, the dedup claims and the metadata. It
// takes each file for itself, whatever is wrong with the others, and changes none of them. to is a directory that is empty or does not exist. o.EncryptionKey is
// that of the old store, key the one of the new, which may be another one or none. Deliveries whose state cannot be read are pending in the new store. When the disk has too little room
// it stops before it is full; what was begun stays marked as incomplete. Errors: [ErrNoStore], [ErrKey], [queue.ErrFull].
func Salvage(ctx context.Context, from, to string, key []byte, o Options) (report *SalvageReport, err error) {
	target := o // the new store's files have sizes of their own
	if err := o.setDefaults(); err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	source, err := lockStore(ctx, from, &o)
	if err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	defer func() { err = errors.Join(err, source.leave()) }()
	v := &salvage{ctx: ctx, from: from, report: &SalvageReport{To: to, Lost: []LostEvent{}}}
	v.report.Source = Report{Dir: from, At: o.Clock().UTC(), Encrypted: len(o.EncryptionKey) > 0}
	if v.db, err = openRaw(filepath.Join(from, "db"), o.EncryptionKey, true, &v.report.Source); err != nil {
		return nil, fmt.Errorf("salvage %s: %w", from, err)
	}
	defer v.db.close()
	lock, err := claimDir(ctx, to, &o)
	if err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	defer func() { err = errors.Join(err, lock.release(false)) }()
	target.EncryptionKey = key
	if err := errors.Join(target.fitDisk(to), target.setDefaults()); err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	if err := v.run(lock, &o, &target); err != nil {
		return nil, fmt.Errorf("salvage %s: %w", from, err)
	}
	v.report.LostRows = (v.db.gone &^ eventRows).names() // the events are counted
	v.report.Source.finish()
	return v.report, nil
}

// salvage is one run.
type salvage struct {
	ctx    context.Context
	from   string
	report *SalvageReport
	db     *rawDB
	meta   *checker
	hand   uint64 // where the pruner was; 0: unknown
	copies *copies
	known  seqSet // events of which the database has a row, or says that it was deleted
	kept   seqSet // events that the pruner had passed and left
	c      *carrier
	last   uint64
	lost   seqSet                       // events that are lost with deliveries that were not settled
	taken  seqSet                       // events that were carried
	late   uint64                       // of them, those that the database had not counted yet
	states map[uint64][]carriedDelivery // of events without a record
}

func (v *salvage) run(lock *storeLock, source, target *Options) (err error) {
	if err := v.survey(source); err != nil {
		return err
	}
	defer v.copies.close()
	v.c, err = newCarrier(v.report.To, lock, *target, dirSize(v.from))
	if err == nil {
		err = v.carry()
	}
	if err != nil {
		return errors.Join(err, v.c.close())
	}
	return releaseDir(v.report.To)
}

// survey reads everything but the events.
func (v *salvage) survey(o *Options) error {
	source := &v.report.Source
	v.meta = &checker{ctx: v.ctx, src: v.db, report: source, lanes: map[uint16]*laneCheck{}, names: map[string]uint16{}}
	v.meta.applied = newAppliedState()
	if err := v.meta.meta(); err != nil {
		return err
	}
	v.known, v.kept, v.lost, v.taken = seqSet{}, seqSet{}, seqSet{}, seqSet{}
	for it := v.db.iterate([]byte{tabEvent}); ; {
		r, ok := it.step()
		if !ok {
			break
		}
		if len(r.key) == 9 {
			v.known.add(be.Uint64(r.key[1:]))
			v.last = max(v.last, be.Uint64(r.key[1:]))
		}
	}
	for it := v.db.iterate([]byte{tabStraggler}); ; {
		r, ok := it.step()
		if !ok {
			break
		}
		if len(r.key) == 9 && !r.deleted() {
			v.kept.add(be.Uint64(r.key[1:]))
		}
	}
	for it := v.db.iterate(keyPruner); ; {
		r, ok := it.step()
		if !ok {
			break
		}
		if value, sound := unseal(r.key, r.value); sound && !r.deleted() {
			d := decoder{b: value}
			v.hand = d.fixed()
		}
	}
	v.states = map[uint64][]carriedDelivery{}
	v.copies = &copies{found: map[uint64]eventCopy{}, report: source}
	if err := v.copies.readJournal(filepath.Join(v.from, "journal"), o.EncryptionKey, v.meta.applied.seq); err != nil {
		return err
	}
	for seq := range v.copies.found {
		v.last = max(v.last, seq)
	}
	complete := checkHighWater(v.from, max(v.last, v.meta.applied.seq), v.meta.applied.commits, v.copies.inUse(), source)
	v.report.Uncounted = !complete || v.copies.cut || v.meta.applied.seq == 0
	if v.db.damaged || !source.soundSoFar() {
		return v.copies.readValues(v.db, v.known)
	}
	return nil
}

func (r *Report) soundSoFar() bool { return r.Damage == 0 }

// pruned reports whether an event of which the database knows nothing was history.
func (v *salvage) pruned(seq uint64) bool { return seq < v.hand && !v.kept.has(seq) }

// carry writes the new store.
func (v *salvage) carry() error {
	if err := v.busyKeys(); err != nil {
		return err
	}
	for _, step := range []func() error{v.events, v.claims, v.metadata} {
		if err := step(); err != nil {
			return err
		}
	}
	for name, row := range v.meta.applied.sources {
		if err := v.c.source(name, row); err != nil {
			return err
		}
	}
	for _, row := range v.meta.applied.lanes {
		n := row.counts
		v.c.lanes[row.name] = &n
	}
	return v.c.finish(max(v.last, v.meta.applied.seq))
}

// busyKeys notes the order keys that have deliveries in another place than the FIFO.
func (v *salvage) busyKeys() error {
	for _, table := range []byte{tabOwner, tabParked} {
		for it := v.db.iterate([]byte{table}); ; {
			r, ok := it.step()
			if !ok {
				break
			}
			if len(r.key) < 11 || r.deleted() {
				continue
			}
			if row := v.meta.applied.lanes[be.Uint16(r.key[1:])]; row != nil {
				v.c.busy[busyKey{row.name, be.Uint64(r.key[3:])}] = true
			}
		}
	}
	return v.ctx.Err()
}

// events carries all events, those without a row at their places among the others.
func (v *salvage) events() error {
	unlisted := v.copies.unlisted(v.known, v.pruned, v.db.damaged || !v.report.Source.soundSoFar())
	rows, states, attempts := newBySeq(v.db, tabEvent), newBySeq(v.db, tabDelivery), newBySeq(v.db, tabAttempt)
	for n := 0; rows.ok || len(unlisted) > 0; n++ {
		if n%1024 == 0 {
			if err := v.ctx.Err(); err != nil {
				return err
			}
		}
		if len(unlisted) > 0 && (!rows.ok || unlisted[0] < rows.seq()) {
			seq := unlisted[0]
			unlisted = unlisted[1:]
			if rec, ok := v.copies.read(seq); ok {
				v.report.Unlisted++
				if err := v.event(seq, rec, v.deliveries(seq, states, attempts)); err != nil {
					return err
				}
			}
			continue
		}
		seq := rows.seq()
		if isTombstone(rows.value) || (v.db.extra || !v.db.damaged) && v.pruned(seq) { // a row that was deleted
			rows.step()
			continue
		}
		rec, err := v.record(seq, rows.value, rows.err)
		found := v.deliveries(seq, states, attempts)
		if err != nil {
			v.lose(seq, rows.value, err, found)
		} else if err := v.event(seq, rec, found); err != nil {
			return err
		}
		rows.step()
	}
	v.deliveries(^uint64(0)-1, states, attempts) // those behind the last event
	v.orphans()
	return nil
}

// orphans lists the events of which only the states of their deliveries are left.
func (v *salvage) orphans() {
	for seq, states := range v.states {
		if !v.known.has(seq) && !v.pruned(seq) {
			v.lose(seq, nil, errGone, states)
		}
	}
	counted := int64(v.report.Events-v.late) + int64(v.report.LostCount)
	v.report.Missing = uint64(max(v.meta.applied.events-counted, 0))
}

var errGone = errors.New("its record is gone with a part of the database")
