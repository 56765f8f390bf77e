package badgerstore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// deliveryRow is the row of a delivery in a check or a salvage.
type deliveryRow struct {
	dest   uint16
	record record
	err    error
}

// bySeq goes through a table whose keys begin with the number of an event, one event at a time.
type bySeq struct {
	rows       rowScanner
	key, value []byte
	err        error
	ok         bool
}

func newBySeq(src rowSource, table byte) *bySeq {
	b := &bySeq{rows: src.scan([]byte{table})}
	b.step()
	return b
}

func (b *bySeq) step() {
	for {
		var key, value []byte
		key, value, b.err, b.ok = b.rows.step()
		if !b.ok || len(key) >= 9 {
			b.key, b.value = append(b.key[:0], key...), append(b.value[:0], value...)
			return
		}
	}
}

func (b *bySeq) seq() uint64 { return be.Uint64(b.key[1:]) }

// until calls fn for each row of an event with a number below limit.
func (b *bySeq) until(limit uint64, fn func(seq uint64, key, value []byte, err error)) {
	for b.ok && b.seq() < limit {
		fn(b.seq(), b.key, b.value, b.err)
		b.step()
	}
}

// readDelivery reads the row of a delivery.
func readDelivery(key, sealed []byte, err error) deliveryRow {
	d := deliveryRow{err: err}
	if len(key) != 11 {
		d.err = queue.ErrDamaged
		return d
	}
	d.dest = be.Uint16(key[9:])
	if err != nil {
		return d
	}
	value, sound := unseal(key, sealed)
	if !sound {
		d.err = queue.ErrDamaged
		return d
	}
	d.record, d.err = decodeRecord(value)
	return d
}

// events reads all events with their deliveries and attempts, side by side.
func (c *checker) events() error {
	events, deliveries, attempts := newBySeq(c.src, tabEvent), newBySeq(c.src, tabDelivery), newBySeq(c.src, tabAttempt)
	stragglers := newBySeq(c.src, tabStraggler)
	defer stragglers.rows.close()
	defer events.rows.close()
	defer deliveries.rows.close()
	defer attempts.rows.close()
	var tries []attemptRow
	for events.ok {
		if c.steps++; c.steps%1024 == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		seq := events.seq()
		c.report.Rows++
		if c.gone(seq, events.value, stragglers) {
			events.step()
			continue
		}
		var states []deliveryRow
		deliveries.until(seq+1, func(of uint64, key, value []byte, err error) {
			c.report.Rows++
			if of != seq {
				c.orphan(of, "the state of a delivery")
				return
			}
			states = append(states, readDelivery(key, value, err))
		})
		tries = tries[:0]
		attempts.until(seq+1, func(of uint64, key, value []byte, err error) {
			c.report.Rows++
			if of != seq {
				c.orphan(of, "an attempt")
				return
			}
			tries = append(tries, c.attempt(key, value, err))
		})
		e, err := c.event(seq, events.value, events.err)
		if err != nil {
			c.unread++
			c.lost(seq, err, states)
		}
		c.states(seq, e, states, tries)
		events.step()
	}
	deliveries.until(^uint64(0), func(of uint64, _, _ []byte, _ error) { c.orphan(of, "the state of a delivery") })
	attempts.until(^uint64(0), func(of uint64, _, _ []byte, _ error) { c.orphan(of, "an attempt") })
	return nil
}

// gone reports whether an event was pruned and its row is there all the same (gone.go).
func (c *checker) gone(seq uint64, rec []byte, stragglers *bySeq) bool {
	stragglers.until(seq, func(uint64, []byte, []byte, error) {})
	return isTombstone(rec) || seq < c.prunedTo && (!stragglers.ok || stragglers.seq() != seq)
}

func (c *checker) orphan(seq uint64, what string) {
	c.report.add(Finding{Level: LevelNote, Kind: "row", Event: eventName(seq), Text: "there is " + what + " without its event"})
}

// event reads a record as a whole: its length, its number and both of its checksums.
func (c *checker) event(seq uint64, rec []byte, err error) (*stored, error) {
	if err != nil {
		return nil, err
	}
	if len(rec) == 0 {
		return nil, errors.New("its payload is missing from the value log")
	}
	e, err := decodeEvent(rec, seq, true)
	if err != nil {
		return nil, errors.New("its record does not match its checksum")
	}
	c.report.Events++
	c.report.Payload += int64(e.size)
	return e, nil
}

// lost reports an event that cannot be read.
func (c *checker) lost(seq uint64, err error, states []deliveryRow) {
	text := err.Error()
	if len(states) > 0 && !slices.ContainsFunc(states, func(d deliveryRow) bool { return d.err != nil || !d.record.state.Settled() }) {
		text += "; its deliveries are settled, so that only history is lost"
	}
	c.report.add(Finding{Kind: "event", Event: eventName(seq), Text: text, WayOut: outEvent})
}

type attemptRow struct {
	dest   uint16
	number int
}

func (c *checker) attempt(key, sealed []byte, err error) attemptRow {
	if len(key) != 15 {
		c.report.add(Finding{Kind: "row", Text: "attempts: a key is broken", WayOut: outRecount})
		return attemptRow{}
	}
	value, sound := unseal(key, sealed)
	d := decoder{b: value}
	if sound && err == nil {
		decodeAttempt(&d)
	}
	if !sound || d.bad || err != nil {
		c.report.add(Finding{Kind: "row", Event: eventName(be.Uint64(key[1:])), Text: "the record of an attempt is broken", WayOut: outRecount})
	}
	c.report.Attempts++
	return attemptRow{be.Uint16(key[9:]), int(be.Uint32(key[11:]))}
}

// states compares an event's deliveries with what the other tables must say about them. e is nil if the event cannot be read.
func (c *checker) states(seq uint64, e *stored, rows []deliveryRow, tries []attemptRow) {
	changed := map[string]bool{}
	for _, d := range rows {
		l := c.lane(d.dest)
		changed[l.row.name] = true
		c.report.Deliveries++
		if d.err != nil {
			c.report.add(Finding{Kind: "delivery", Event: eventName(seq), Destination: l.row.name, Text: "its state cannot be read", WayOut: outRedeliver})
			continue
		}
		if e != nil { // the row of a delivery that its event brought leaves the order key out
			if n, brought := e.delivery(l.row.name); brought {
				d.record.orderKey = n.OrderKey
			}
		}
		c.expect(l, d.dest, seq, &d.record)
		n := 0
		for _, t := range tries {
			if t.dest == d.dest {
				n++
			}
		}
		if last := d.record.last != nil; n+btoi(last) != d.record.attempts {
			c.report.add(Finding{Level: LevelNote, Kind: "delivery", Event: eventName(seq), Destination: l.row.name,
				Text: fmt.Sprintf("has had %d attempts, and there are records of %d", d.record.attempts, n+btoi(last))})
		}
		l.fifo[blockOf(seq)] &^= bitOf(seq)
	}
	if e == nil {
		return
	}
	for _, n := range e.deliveries {
		if changed[n.Destination] {
			continue
		}
		c.report.Deliveries++
		id, l := c.named(n.Destination)
		if l == nil {
			c.report.add(Finding{Kind: "delivery", Event: eventName(seq), Destination: n.Destination, Text: "the store knows no such destination", WayOut: outRedeliver})
			continue
		}
		first := initial(n, e.enqueued)
		c.expect(l, id, seq, &first)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *checker) named(name string) (uint16, *laneCheck) {
	id, ok := c.names[name]
	if !ok {
		return 0, nil
	}
	return id, c.lanes[id]
}

// expect notes where a delivery has to stand, and counts it.
func (c *checker) expect(l *laneCheck, id uint16, seq uint64, r *record) {
	switch r.state {
	case queue.StatePending:
		l.pending++
	case queue.StateDead:
		l.dead++
		l.want[inDeadTable].add(deadKey(seq, id))
	}
	if r.state != queue.StatePending {
		return
	}
	switch r.place {
	case inFIFO:
		if l.fifo[blockOf(seq)]&bitOf(seq) == 0 {
			c.report.add(Finding{Kind: "delivery", Event: eventName(seq), Destination: l.row.name, Text: "is pending, and stands nowhere: it would never be attempted", WayOut: outRedeliver})
		}
		l.fifo[blockOf(seq)] &^= bitOf(seq)
	case inScheduled:
		l.want[inScheduleTable].add(scheduledKey(id, r.due, seq))
		l.want[inOpenTable].add(openKey(id, seq))
	case inParked:
		l.want[inParkedTable].add(parkedKey(id, hashOrder(r.orderKey), r.turn(seq)))
		l.want[inOpenTable].add(openKey(id, seq))
	}
}
